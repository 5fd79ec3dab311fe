//! Lists of endpoints that stand in files of their own.

use super::check::check;
use super::env;
use super::load;
use super::read::read;
use super::schema::Schema;
use super::words::WORDS;
use crate::upstream::Member;
use crate::value::Diagnostic;
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

/// Reads a file that holds what `endpoints` of an upstream takes, by the rules of the document.
pub fn endpoints(path: &Path) -> Result<Vec<Member>, Vec<Diagnostic>> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schemars::schema_for!(Vec<Member>).to_value());
    let loaded = load::load(path, &env::variable, &[]);
    let mut problems = loaded.diagnostics.clone();
    let checked = check(&loaded, &SCHEMA, WORDS);
    if loaded.whole {
        problems.extend(checked.diagnostics);
    }
    let list = match problems.is_empty() {
        true => read(&loaded.root, Schema::new(&SCHEMA)).map_err(|problem| vec![problem]),
        false => Err(problems),
    };
    list.map_err(|problems| loaded.sources.arrange(problems, &checked.hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.yaml");
        std::fs::write(&path, text).unwrap();
        match endpoints(&path) {
            Ok(list) => {
                let one = |m: &Member| format!("{} {} {}", m.url, m.weight, m.priority);
                list.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Err(problems) => {
                let lines = problems.iter().map(Diagnostic::line).collect::<Vec<_>>().join("\n");
                lines.replace(&format!("{}/", folder.path().display()), "")
            }
        }
    }

    #[test]
    fn a_list_holds_what_endpoints_of_an_upstream_takes() {
        let yaml = "- http://a\n- { url: https://b, weight: 2, backup: true }\n- unix:/run/c\n";
        let all = "http://a:80 1 0, https://b:443 2 1, unix:/run/c 1 0";
        assert_eq!(shown(yaml), all);
        assert_eq!(
            shown(r#"["http://a", {"url": "http://b", "weight": 3}]"#),
            "http://a:80 1 0, http://b:80 3 0"
        );
        assert_eq!(shown("[]"), "");
    }

    #[test]
    fn mistakes_are_told_at_their_places() {
        for (text, expected) in [
            (
                "",
                "list.yaml:1:1: the document takes a list, not nothing; \
                 write its items below it, each after `- `, or remove it",
            ),
            (
                "endpoints: [http://a]",
                "list.yaml:1:1: the document takes a list, not a map; \
                 write its items below it, each after `- `",
            ),
            (
                "- a:80\n- { url: http://b, wight: 2 }\n",
                "list.yaml:1:3: `a:80` is not an endpoint's URL; \
                 write the scheme, such as `http://a:80`\n\
                 list.yaml:2:20: unknown key `wight`; did you mean `weight`?",
            ),
            ("- http://a\n- {", "list.yaml:2:3: this bracket is never closed; close it"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let missing = endpoints(Path::new("/nonexistent/list")).unwrap_err();
        assert_eq!(missing.len(), 1);
        let expected = "cannot read `/nonexistent/list`: there is no such file; correct the path, or create the file";
        assert_eq!(missing[0].line(), expected);
    }
}
