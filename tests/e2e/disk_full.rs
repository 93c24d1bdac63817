//! The disk fills up, down to the last byte, again and again: senders are told to try later, the
//! process lives, and what was accepted is there once.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use weft_tests::accounts::{Sender, differences, stored};
use weft_tests::client::eventually;
use weft_tests::weft::Launch;

/// A file system of its own, of `megabytes`; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said on standard output, where this user may not mount.
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(at)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: mounting a small file system needs root");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut hog = std::fs::File::create(self.0.join("hog")).unwrap();
        for piece in [1 << 20, 1 << 12, 1] {
            while hog.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("hog")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_no_accepted_row() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 256) else { return };
    let config = dir.path().join("small.yaml");
    std::fs::write(&config, "log: { reserve_bytes: 16777216 }\n").unwrap();
    let mut weft = Launch::new("up", &disk.0.join("data"))
        .flag("--config", &config.display().to_string())
        .flag("--flush-interval", "300ms")
        .start();
    let sender = Sender::start("full", &weft.address("otlp_http"));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1_500));
        disk.fill();
        std::thread::sleep(Duration::from_millis(1_500));
        disk.free();
    }
    std::thread::sleep(Duration::from_millis(1_000));
    let accounts = sender.finish();
    assert!(weft.is_running(), "{}", weft.log());
    assert!(accounts["traces"].accepted.len() > 100, "hardly anything was accepted: the test shows nothing");
    assert!(accounts.values().any(|account| !account.unknown.is_empty()), "the disk was never full for a sender");
    for _ in 0..2 {
        let client = weft.client();
        let mut wrong = Vec::new();
        eventually("rows are exactly those sent", Duration::from_secs(120), || {
            if client.get("/ready").status != 200 {
                return false;
            }
            wrong = differences(&accounts, &stored(&client, "full"));
            assert!(!wrong.iter().any(|what| what.contains("doubled")), "{wrong:?}");
            wrong.is_empty()
        });
        weft.kill();
        weft.restart();
    }
    drop(weft);
}
