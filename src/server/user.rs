//! The user that an edge runs as: started as root, it becomes `server.user` and keeps no right of
//! root's but to bind low ports.

use crate::config::{self, Document, Read, Step};
use crate::observe::access::Destination;
use crate::value::{Diagnostic, Problem, user};
use nix::errno::Errno;
use nix::unistd::{
    AccessFlags, Gid, Group, Uid, User, access, getegid, geteuid, initgroups, setresgid, setresuid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

/// The only right that is kept: later listeners bind low ports too.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// What a document is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run it.
    Run,
    /// To say what is wrong with it.
    Check,
}

/// Reads a document and, as root, becomes the user that it names and reads it again: what that user
/// may not read is told now, and not with the first reload. Comes with what else is to be told.
///
/// Whoever calls it has started no thread yet, because each has capabilities of its own.
pub fn read(path: &Path, purpose: Purpose) -> (Read, Vec<Diagnostic>) {
    let read = config::read(path);
    let document = &read.document;
    let account = match Account::of(document) {
        Ok(Some(account)) => account,
        Ok(None) => return (read, Vec::new()),
        Err(problem) => return (read, vec![problem]),
    };
    if account.is_ours() {
        return (read, Vec::new());
    }
    if !geteuid().is_root() || account.user.uid.is_root() {
        let idle = (purpose == Purpose::Run).then(|| account.idle(document));
        return (read, idle.into_iter().collect());
    }
    if purpose == Purpose::Run && read.is_sound() {
        account.make(&super::state_dir(document));
    }
    match account.assume(document) {
        Err(problem) => (read, vec![problem]),
        Ok(warning) => {
            if let Err(error) = File::open(path) {
                let problem = Problem::unreadable(path, &error);
                let problem = document.error(&steps("user"), problem);
                return (read, vec![problem]);
            }
            let again = config::read(path);
            let lacks = lacks(&again.document);
            (again, warning.into_iter().chain(lacks).collect())
        }
    }
}

/// A user and a group of the system.
struct Account {
    user: User,
    group: Gid,
}

impl Account {
    /// Whom a document names, if anybody.
    fn of(document: &Document) -> Result<Option<Self>, Diagnostic> {
        let server = &document.server;
        let Some(name) = &server.user else {
            let alone = |_| {
                let problem = Problem::new("`group` stands without `user`", "add `user:` to it");
                document.error(&steps("group"), problem)
            };
            return server.group.as_ref().map(alone).map_or(Ok(None), Err);
        };
        let user = find(name, User::from_name, |id| User::from_uid(Uid::from_raw(id)));
        let user = user.ok_or_else(|| unknown(document, "user", name))?;
        let group = match &server.group {
            None => user.gid,
            Some(name) => {
                let group = find(name, Group::from_name, |id| Group::from_gid(Gid::from_raw(id)));
                group.ok_or_else(|| unknown(document, "group", name))?.gid
            }
        };
        Ok(Some(Self { user, group }))
    }

    /// Whether the process is that user already, as one is that took over from another.
    fn is_ours(&self) -> bool {
        geteuid() == self.user.uid && getegid() == self.group
    }

    /// That the process stays who it is.
    fn idle(&self, document: &Document) -> Diagnostic {
        let what = format!("`user` and `group` do nothing: the edge stays `{}`", user());
        let problem = Problem::new(what, "start it as root, or leave them out");
        document.warning(&steps("user"), problem)
    }

    /// Makes a folder that this user can write to; what keeps it from that is told later.
    fn make(&self, folder: &Path) {
        if !folder.exists() && fs::create_dir_all(folder).is_ok() {
            // Not what a link leads to, should there be one by now.
            let _ = lchown(folder, Some(self.user.uid.as_raw()), Some(self.group.as_raw()));
        }
    }

    /// Becomes this user for good. It may come with a warning.
    fn assume(&self, document: &Document) -> Result<Option<Diagnostic>, Diagnostic> {
        let become_it = || -> io::Result<bool> {
            set_keep_capabilities(true)?;
            let name = CString::new(self.user.name.as_str())?;
            initgroups(&name, self.group)?;
            setresgid(self.group, self.group, self.group)?;
            setresuid(self.user.uid, self.user.uid, self.user.uid)?;
            let is_kept = keep();
            set_keep_capabilities(false)?;
            // No program that belongs to root leads back.
            set_no_new_privs(true)?;
            is_kept
        };
        let name = &self.user.name;
        match become_it() {
            Ok(true) => Ok(None),
            Ok(false) => {
                let what = format!("as `{name}` the edge cannot bind ports below 1024");
                let problem = Problem::new(what, "give the process CAP_NET_BIND_SERVICE to keep");
                Ok(Some(document.warning(&steps("user"), problem)))
            }
            Err(error) => {
                let what = format!("the edge cannot become `{name}`: {error}");
                let remedy = "give the process CAP_SETUID and CAP_SETGID, or start it as that user";
                Err(document.error(&steps("user"), Problem::new(what, remedy)))
            }
        }
    }
}

/// Gives all capabilities up but the one; whether that could be kept, also in what is executed.
fn keep() -> io::Result<bool> {
    let kept = capabilities(None)?.permitted & KEPT;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: kept })?;
    Ok(!kept.is_empty() && configure_capability_in_ambient_set(KEPT, true).is_ok())
}

/// What this user must be able to write to, and cannot.
fn lacks(document: &Document) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let log = ["access_log", "path"].map(Step::from);
    if let Destination::File(path) = document.access_log.path.resolve(document.folder(&log)) {
        let folder = || Path::new(".").join(path.parent().unwrap_or(&path));
        let place = if path.exists() { path.clone() } else { folder() };
        found.extend(unwritable(&place).map(|problem| document.error(&log, problem)));
    }
    let state = unwritable(&super::state_dir(document));
    found.extend(state.map(|problem| document.error(&steps("state_dir"), problem)));
    found
}

fn unwritable(path: &Path) -> Option<Problem> {
    let enter = if path.is_dir() { AccessFlags::X_OK } else { AccessFlags::empty() };
    // What is missing is told when it is opened.
    let error = access(path, AccessFlags::W_OK | enter).err().filter(|e| *e != Errno::ENOENT)?;
    let (path, user) = (path.display(), user());
    let what = format!("cannot write to `{path}`: {}", error.desc().to_lowercase());
    Some(Problem::new(what, format!("let the user `{user}` write to it, and enter its folders")))
}

fn unknown(document: &Document, key: &str, name: &str) -> Diagnostic {
    let what = format!("this system has no {key} `{name}`");
    let remedy = format!("name another one, or add it: `{key}add --system {name}`");
    document.error(&steps(key), Problem::new(what, remedy))
}

/// What the system knows by a name, or by a number.
fn find<T>(
    name: &str,
    by_name: fn(&str) -> nix::Result<Option<T>>,
    by_id: fn(u32) -> nix::Result<Option<T>>,
) -> Option<T> {
    let known = by_name(name).ok().flatten();
    known.or_else(|| by_id(name.parse().ok()?).ok().flatten())
}

fn steps(key: &str) -> [Step; 2] {
    ["server", key].map(Step::from)
}
