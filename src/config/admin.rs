//! `admin:` in the document.

use super::show::VEIL;
use super::tree::Step;
use crate::listener::Address;
use crate::value::{OneOrMany, Problem, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the edge shows itself: `/metrics`, `/healthz`, `/readyz`, and what programs ask and tell
/// it under `/api/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "admin")]
pub struct Config {
    /// An address to bind, or a list of them: `127.0.0.1:9901`, `unix:/run/falconer-admin.sock`.
    pub address: OneOrMany<Address>,
    /// What requests under `/api/` must show, as `Authorization: Bearer TOKEN`; best kept in a file:
    /// `${file:/run/secrets/admin}`. An address beyond this machine needs one. Default: none.
    pub token: Option<Secret>,
    /// Names by which `/api/` may be asked for, besides IP addresses and `localhost`. Default: none.
    #[serde(default)]
    pub hosts: OneOrMany<String>,
}

impl Config {
    /// What is wrong with it, each with the way to its place.
    pub fn problems(&self) -> Vec<(Vec<Step>, Problem)> {
        let mut found = Vec::new();
        if self.token.is_none() {
            let open = self.address.iter().enumerate().filter(|(_, address)| is_beyond(address));
            found.extend(open.map(|(place, address)| {
                let what = format!("whoever reaches `{address}` could change what the edge runs");
                let remedy = "add `token: ${file:PATH}`, or take an address of this machine only, \
                    such as `127.0.0.1:9901`";
                (vec!["address".into(), place.into()], Problem::new(what, remedy))
            }));
        }
        let faulty = self.token.as_ref().and_then(|token| fault(token.expose()));
        found.extend(faulty.map(|problem| (vec!["token".into()], problem)));
        for (place, host) in self.hosts.iter().enumerate().filter(|(_, host)| !is_name(host)) {
            let problem = Problem::new(
                format!("`{host}` is not a host name"),
                "write a name without a port, such as `edge.internal`",
            );
            found.push((vec!["hosts".into(), place.into()], problem));
        }
        found
    }
}

/// Whether others than the users of this machine can connect to it.
fn is_beyond(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        Address::Unix(_) => false,
    }
}

fn fault(token: &str) -> Option<Problem> {
    let (what, remedy) = if token.is_empty() {
        ("the token is empty", "write one, such as `openssl rand -hex 32` prints")
    } else if token.trim().trim_matches('"') == VEIL {
        ("`***` only stands for a token that is not shown", "write `${file:PATH}`, or the token")
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        ("no request can show this token", "write ASCII without blanks")
    } else {
        return None;
    };
    Some(Problem::new(what, remedy))
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use crate::config::read_text;
    use std::path::Path;

    fn problems(admin: &str) -> Vec<String> {
        let read = read_text(Path::new("a.yaml"), &format!("admin: {{{admin}}}"));
        let admin = read.document.admin.unwrap();
        admin.value.problems().into_iter().map(|(_, problem)| problem.what).collect()
    }

    #[test]
    fn only_an_address_beyond_this_machine_needs_a_token() {
        for address in ["127.0.0.1:1", "127.8.9.1:1", "'[::1]:1'", "'unix:a'", "localhost:1"] {
            assert_eq!(problems(&format!("address: {address}")), [""; 0], "{address}");
        }
        for address in ["0.0.0.0:1", "':1'", "10.0.0.1:1", "'[::ffff:10.0.0.1]:1'"] {
            assert_eq!(problems(&format!("address: {address}")).len(), 1, "{address}");
            assert_eq!(problems(&format!("address: {address}, token: a")), [""; 0], "{address}");
        }
        assert_eq!(problems("address: ['127.0.0.1:1', 'unix:a', '0.0.0.0:1']").len(), 1);
    }

    #[test]
    fn a_token_is_what_a_request_can_show() {
        let of = |token: &str| problems(&format!("address: 'unix:a', token: {token}"));
        assert_eq!(of("Zm9v-._~+/="), [""; 0]);
        assert_eq!(of("''"), ["the token is empty"]);
        for veil in ["'***'", "'\"***\"'", "\"***\\n\""] {
            assert_eq!(of(veil), ["`***` only stands for a token that is not shown"], "{veil}");
        }
        assert_eq!(of("'a b'"), ["no request can show this token"]);
        assert_eq!(of("'caf\u{e9}'"), ["no request can show this token"]);
    }

    #[test]
    fn hosts_are_names() {
        let of = |host: &str| problems(&format!("address: 'unix:a', hosts: {host}"));
        assert_eq!(of("[edge.internal, edge_1]"), [""; 0]);
        assert_eq!(of("edge.internal:9901"), ["`edge.internal:9901` is not a host name"]);
        assert_eq!(of("http://edge").len(), 1);
    }
}
