//! The units of `packaging/`, as systemd itself judges them.

use crate::support::tool;
use std::fs;
use std::path::Path;

/// Writes the units to a folder, with a binary that is there.
fn units(folder: &Path) -> [String; 2] {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    ["falconer.service", "falconer.socket"].map(|name| {
        let text = fs::read_to_string(packaging.join(name)).unwrap();
        let text = text.replace("/usr/bin/falconer", env!("CARGO_BIN_EXE_falconer"));
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn systemd_understands_every_line_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let [service, socket] = units(folder.path());
    // Manual pages are not part of the units.
    let judged = tool("systemd-analyze", &["verify", "--man=no", &service, &socket]).await;
    let told = judged.stderr.lines().filter(|line| line.contains("falconer"));
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{told:?}");
    judged.well();
}

#[tokio::test]
async fn the_service_may_do_little() {
    let folder = tempfile::tempdir().unwrap();
    let [service, _] = units(folder.path());
    // In tenths: what packaging/README.md says.
    let most = ["security", "--offline=true", "--threshold=18", "--no-pager", &service];
    tool("systemd-analyze", &most).await.well();
}
