use super::*;
use crate::config::tree::{Step, Value};

const MERGEABLE: &[&str] = &["listeners", "upstreams", "routes"];

struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with these files, the first being the main document.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn load(&self) -> Loaded {
        let variable = |name: &str| (name == "SITES").then(|| "sites".to_owned());
        load(&self.0.path().join("main.yaml"), &variable, MERGEABLE)
    }

    /// All problems without the path of the folder, one a line.
    fn problems(&self) -> String {
        self.strip(&self.load().diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn files(&self) -> String {
        self.strip(
            &self.load().files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        )
    }

    fn strip(&self, lines: &[String]) -> String {
        lines.join("\n").replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn routes(loaded: &Loaded) -> Vec<&str> {
    let routes = loaded.root.entry("routes").map(|entry| entry.node.items());
    routes.unwrap_or_default().iter().filter_map(Node::text).collect()
}

#[test]
fn included_routes_follow_in_the_order_of_include_and_globs_sorted() {
    let folder = Folder::with(&[
        ("main.yaml", "include: [last.yaml, \"${SITES}/*.yaml\"]\nroutes: [main]\n"),
        ("last.yaml", "include: deep/er.yaml\nroutes: [last]\n"),
        ("deep/er.yaml", "routes: [deep]"),
        ("sites/b.yaml", "routes: [b]"),
        ("sites/a.yaml", "routes: [a]\n"),
        ("sites/.hidden.yaml", "routes: [hidden]\n"),
        ("sites/folder.yaml/x", ""),
    ]);
    let loaded = folder.load();
    assert_eq!(folder.problems(), "");
    assert_eq!(routes(&loaded), ["main", "last", "deep", "a", "b"]);
    assert!(loaded.root.entry("include").is_none());
    assert_eq!(folder.files(), "main.yaml\nlast.yaml\ndeep/er.yaml\nsites/a.yaml\nsites/b.yaml");
    assert!(loaded.whole);
}

#[test]
fn an_include_may_be_one_name_and_a_glob_may_find_nothing() {
    let folder =
        Folder::with(&[("main.yaml", "include: a.yaml\n"), ("a.yaml", "include: none/*.yaml\n")]);
    assert_eq!(folder.problems(), "");
    assert_eq!(Folder::with(&[("main.yaml", "include:\n")]).problems(), "");
}

#[test]
fn named_sections_are_joined_and_keep_their_places() {
    let folder = Folder::with(&[
        ("main.yaml", "include: sites/a.yaml\nupstreams: { one: x }\nlisteners:\n"),
        ("sites/a.yaml", "upstreams: { two: y }\nlisteners: { web: z }\n"),
    ]);
    let loaded = folder.load();
    let steps: [Step; 2] = ["upstreams".into(), "two".into()];
    let two = loaded.root.at(&steps).unwrap();
    assert!(two.folder().ends_with("sites"));
    assert_eq!(two.position.column, 19);
    assert!(loaded.root.at(&["upstreams".into(), "one".into()]).is_some());
    assert!(loaded.root.at(&["listeners".into(), "web".into()]).is_some());
}

#[test]
fn a_main_document_may_be_nothing_but_includes() {
    let folder = Folder::with(&[("main.yaml", "include: a.yaml"), ("a.yaml", "routes: [a]")]);
    assert_eq!(routes(&folder.load()), ["a"]);
}

#[test]
fn a_name_defined_twice_names_both_places() {
    let folder = Folder::with(&[
        ("main.yaml", "include: [a.yaml, b.yaml]\nupstreams: { x: 1 }\n"),
        ("a.yaml", "upstreams:\n  x: 1\n  y: 1\n"),
        ("b.yaml", "upstreams:\n  y: 1\n"),
    ]);
    assert_eq!(
        folder.problems(),
        "a.yaml:2:3: `x` is defined twice, first at main.yaml:2:14; rename one of them\n\
         b.yaml:2:3: `y` is defined twice, first at a.yaml:3:3; rename one of them"
    );
}

#[test]
fn an_included_document_holds_only_what_can_be_merged() {
    let folder = Folder::with(&[
        ("main.yaml", "include: [a.yaml, b.yaml, c.yaml]\nroutes: []\n"),
        ("a.yaml", "server: {}\nroute: []\n"),
        ("b.yaml", "- x\n"),
        ("c.yaml", "routes: { a: b }\n"),
    ]);
    assert_eq!(
        folder.problems(),
        "a.yaml:1:1: `server` cannot stand in an included document; move it to main.yaml\n\
         a.yaml:2:1: `route` cannot stand in an included document; did you mean `routes`?\n\
         b.yaml:1:1: an included document is a map; begin with one of `listeners`, `upstreams`, \
         `routes`\n\
         c.yaml:1:9: `routes` is of another kind at main.yaml:2:9; write both as a list or \
         both as a map"
    );
}

#[test]
fn a_broken_include_is_reported_at_its_scalar_and_reading_goes_on() {
    let folder = Folder::with(&[
        ("main.yaml", "include: [none.yaml, broken.yaml, 'bad[', { a: b }, good.yaml, '${X}']\n"),
        ("broken.yaml", "a: ]\n"),
        ("good.yaml", "routes: [good]\ninclude: gone.yaml\n"),
    ]);
    let loaded = folder.load();
    assert_eq!(
        folder.problems(),
        "main.yaml:1:64: the variable `X` is not set; set it, write `${X:-default}`, or \
         `$${X}` for the text itself\n\
         main.yaml:1:11: cannot read `none.yaml`: there is no such file; correct the path, or \
         create the file\n\
         broken.yaml:1:4: this bracket closes nothing; remove it, or quote the value\n\
         main.yaml:1:35: `bad[` is no pattern: invalid range pattern; correct the pattern, or \
         write `[[]` for a bracket\n\
         main.yaml:1:43: `include` takes file names; write `include: [sites/*.yaml]`\n\
         good.yaml:2:10: cannot read `gone.yaml`: there is no such file; correct the path, or \
         create the file"
    );
    assert!(!loaded.whole);
    assert_eq!(routes(&loaded), ["good"]);
}

#[test]
fn a_cycle_ends_at_the_include_that_closes_it() {
    let folder = Folder::with(&[
        ("main.yaml", "include: sites/a.yaml\n"),
        ("sites/a.yaml", "include: [\"../*.yaml\", a.yaml]\nroutes: [a]\n"),
    ]);
    assert_eq!(
        folder.problems(),
        "sites/a.yaml:1:11: `sites/../main.yaml` includes itself; remove it, or keep included \
         documents in a folder of their own\n\
         sites/a.yaml:1:24: `sites/a.yaml` includes itself; remove it, or keep included documents \
         in a folder of their own"
    );
    assert_eq!(routes(&folder.load()), ["a"]);
}

#[test]
fn a_document_included_twice_is_merged_once() {
    let folder = Folder::with(&[
        ("main.yaml", "include: [a.yaml, \"*a.yaml\"]\n"),
        ("a.yaml", "routes: [a]\n"),
    ]);
    assert_eq!(
        folder.problems(),
        "main.yaml:1:19: `a.yaml` is included twice, first at main.yaml:1:11; keep one of them"
    );
    assert_eq!(routes(&folder.load()), ["a"]);
}

#[test]
fn includes_do_not_go_down_for_ever() {
    let folder = Folder::with(&[("main.yaml", "include: 0.yaml\n")]);
    for level in 0..40 {
        folder.write(&format!("{level}.yaml"), format!("include: {}.yaml\n", level + 1).as_bytes());
    }
    assert!(folder.problems().contains("more than 16 deep"));
    assert_eq!(folder.load().files.len(), 17);
}

#[test]
fn a_folder_with_brackets_in_its_name_is_no_pattern() {
    let folder = Folder::with(&[
        ("main.yaml", "include: a[1]*/x.yaml\n"),
        ("a1/x.yaml", "include: \"../b[2]/c.yaml\"\n"),
        ("b2/c.yaml", "routes: [c]\n"),
    ]);
    assert_eq!(folder.problems(), "");
    let odd = Folder::with(&[
        ("odd[x]/main.yaml", "include: \"*/a.yaml\"\n"),
        ("odd[x]/s/a.yaml", "routes: [a]\n"),
    ]);
    let loaded = load(&odd.0.path().join("odd[x]/main.yaml"), &|_| None, MERGEABLE);
    assert_eq!(routes(&loaded), ["a"]);
}

#[test]
fn a_missing_main_document_has_no_place() {
    let loaded = load(Path::new("/nonexistent/main.yaml"), &|_| None, MERGEABLE);
    assert_eq!(
        loaded.diagnostics[0].to_string(),
        "cannot read `/nonexistent/main.yaml`: there is no such file; correct the path, or create \
         the file"
    );
    assert_eq!((loaded.root.value, loaded.whole), (Value::Null, false));
}

#[test]
fn a_file_that_is_not_utf_8_says_where() {
    let folder = Folder::with(&[]);
    folder.write("main.yaml", b"a: 1\nb: \xc3\xa9\xff\n");
    assert_eq!(folder.problems(), "main.yaml:2:5: this is not UTF-8; save the file as UTF-8");
    assert!(!folder.load().whole);
}

#[test]
fn a_text_at_hand_includes_from_its_path() {
    let folder = Folder::with(&[("a.yaml", "routes: [a]\n")]);
    let path = folder.0.path().join("never-written.yaml");
    let loaded = load_text(&path, "include: a.yaml", &|_| None, MERGEABLE);
    assert_eq!(routes(&loaded), ["a"]);
}
