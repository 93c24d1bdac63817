//! `| decolorize`: strips ANSI escape sequences.

use super::row::{Line, Row};
use regex::Regex;
use std::sync::LazyLock;

/// Control sequences (`ESC [ … letter`), operating system commands (`ESC ] … BEL`), and the same with
/// the one-byte introducer.
static SEQUENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("(?:\u{1b}\\[|\u{9b})[0-9;?]*[@-~]|\u{1b}\\][^\u{7}\u{1b}]*(?:\u{7}|\u{1b}\\\\)|\u{1b}[()#][0-9A-Za-z]|\u{1b}[=>cDEHMNOZ78]").ok()
});

pub(crate) fn decolorize(row: &mut Row<'_>) {
    let Some(sequence) = SEQUENCE.as_ref() else { return };
    if !row.line().contains(['\u{1b}', '\u{9b}']) {
        return;
    }
    let plain = sequence.replace_all(row.line(), "").into_owned();
    row.set_line(Line::Rewritten(plain));
}
