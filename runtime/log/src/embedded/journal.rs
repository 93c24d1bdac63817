//! Repairs the one damage a power failure can do that the storage engine (fjall 3) refuses to open:
//! a last journal batch whose end reached the disk before its middle did. The engine drops a batch
//! that merely stops short; one that is complete but doesn't match its checksum it takes for
//! corruption.
//!
//! The log syncs every batch before it writes the next and before it answers, so the *last* batch
//! of the newest journal is the only one that can be torn, and nothing of it was answered: cutting
//! it off loses nothing. A bad batch with another after it is real damage and stays an error.
//!
//! The format, by the engine's `journal/entry.rs`, integers little-endian:
//! ```text
//! start  1 · u32 items · u64 sequence
//! item   2 · u8 kind · u8 compression · u64 keyspace · u16 key · u32 value · u32 stored · key · stored value
//! clear  4 · u64 keyspace
//! end    3 · u64 xxh3 of all items' and clears' bytes · "FJL" 3
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";

/// Cuts a torn last batch off the newest journal in `dir`. `false`: there is none, or the journal
/// is damaged in another way; nothing was changed.
pub(super) fn cut_torn_tail(dir: &Path) -> io::Result<bool> {
    let Some(path) = newest(dir)? else { return Ok(false) };
    let Some(start) = torn_batch(&mut BufReader::with_capacity(1 << 20, File::open(&path)?))? else { return Ok(false) };
    let file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(start)?;
    file.sync_all()?;
    tracing::warn!(journal = %path.display(), start, "cut off a write that a power failure had torn; nothing of it had been answered");
    Ok(true)
}

fn newest(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .extension()
            .filter(|extension| *extension == "jnl")
            .and(path.file_stem())
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(known, _)| *known < number)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the batch starts that doesn't match its checksum, if it is the last one.
fn torn_batch(journal: &mut impl Read) -> io::Result<Option<u64>> {
    let mut start = 0;
    loop {
        match batch(journal)? {
            Batch::Whole(bytes) => start += bytes,
            Batch::Torn => return Ok((!matches!(batch(journal)?, Batch::Whole(_) | Batch::Torn)).then_some(start)),
            Batch::None => return Ok(None),
        }
    }
}

enum Batch {
    /// Matches its checksum; its length.
    Whole(u64),
    /// Has an end, but another checksum or number of items.
    Torn,
    /// The end of the journal, or something that isn't a batch: the engine's to judge.
    None,
}

fn batch(journal: &mut impl Read) -> io::Result<Batch> {
    match try_batch(journal) {
        Ok(batch) => Ok(batch),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Batch::None),
        Err(error) => Err(error),
    }
}

fn try_batch(journal: &mut impl Read) -> io::Result<Batch> {
    let [START] = take(journal)? else { return Ok(Batch::None) };
    let mut left = i64::from(u32::from_le_bytes(take(journal)?));
    let _sequence: [u8; 8] = take(journal)?;
    let mut checksum = Xxh3::new();
    let mut bytes = 13;
    let mut payload = Vec::new();
    loop {
        let tag: [u8; 1] = take(journal)?;
        let (header, length) = match tag {
            [ITEM] => {
                let header: [u8; 20] = take(journal)?;
                let length = |at: usize| {
                    u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
                };
                (header.to_vec(), u64::from(u16::from_le_bytes([header[10], header[11]])) + length(16))
            }
            [CLEAR] => (take::<8>(journal)?.to_vec(), 0),
            [END] => {
                let expected = u64::from_le_bytes(take(journal)?);
                let magic: [u8; 4] = take(journal)?;
                if magic != MAGIC {
                    return Ok(Batch::None);
                }
                let whole = left == 0 && expected == checksum.digest();
                return Ok(if whole { Batch::Whole(bytes + 13) } else { Batch::Torn });
            }
            _ => return Ok(Batch::None),
        };
        payload.clear();
        if journal.by_ref().take(length).read_to_end(&mut payload)? as u64 != length {
            return Ok(Batch::None);
        }
        for part in [&tag[..], &header, &payload] {
            checksum.update(part);
            bytes += part.len() as u64;
        }
        left -= 1;
    }
}

fn take<const N: usize>(journal: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    journal.read_exact(&mut bytes)?;
    Ok(bytes)
}
