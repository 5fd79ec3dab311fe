//! Has another process take the place of this one.

use super::answer::Answer;
use crate::runtime::{Commands, Upgrade};
use http::StatusCode;
use percent_encoding::percent_decode;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// What became of it, as JSON.
pub(super) async fn upgrade(commands: &Commands, query: &[u8]) -> Result<Answer, Answer> {
    let (mut binary, mut patience) = (None, None);
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (key, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        let value = percent_decode(value).collect::<Vec<u8>>();
        let text = String::from_utf8_lossy(&value);
        match (key, text.parse()) {
            (b"binary", _) => binary = Some(PathBuf::from(OsString::from_vec(value))),
            (b"timeout", Ok(seconds)) => patience = Some(Duration::from_secs(seconds)),
            _ => {
                let what = "The query may hold binary=PATH and timeout=SECONDS.\n";
                return Err(Answer::text(StatusCode::BAD_REQUEST, what));
            }
        }
    }
    let upgrade = commands.upgrade(binary, patience).await.ok_or_else(Answer::ending)?;
    let status = match upgrade {
        Upgrade::Done { .. } => StatusCode::OK,
        Upgrade::Failed { .. } => StatusCode::BAD_GATEWAY,
    };
    Ok(Answer::json(status, &upgrade))
}
