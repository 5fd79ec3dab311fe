//! The tables of the documentation name what there is, and nothing else.

use super::page;
use falconer::exchange::Cause;
use falconer::expr::Template;
use std::collections::BTreeMap;

/// The rows of a page's tables whose first cell holds code, with all their cells.
pub fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words that stand in backticks.
pub fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_name_in_the_table_of_templates_is_one() {
    let text = page("docs/guide.md");
    let names: Vec<_> = rows(&text).iter().flat_map(|row| code(row[0])).collect();
    let names: Vec<_> = names.into_iter().filter(|name| name.starts_with('{')).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let wrong = name.parse::<Template>().err();
        assert_eq!(wrong, None, "{name}");
    }
}

#[test]
fn the_table_of_failures_holds_every_cause_with_its_status() {
    let text = page("docs/failures.md");
    // What ends a connection before there is a request has no status.
    let rows = rows(&text).into_iter().filter(|row| row[1].parse::<u16>().is_ok());
    let shown: BTreeMap<_, _> =
        rows.flat_map(|row| code(row[0]).map(move |cause| (cause, row[1].to_owned()))).collect();
    let known: BTreeMap<_, _> =
        Cause::ALL.iter().map(|cause| (cause.name(), cause.status().as_str().to_owned())).collect();
    assert_eq!(shown, known);
}
