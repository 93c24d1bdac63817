//! A `weft` process.

use crate::client::Client;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to answer `/ready`. Generous: CI machines compile beside it.
const START: Duration = Duration::from_secs(120);

/// A running `weft`. Killed when dropped.
pub struct Weft {
    child: Child,
    data: PathBuf,
    role: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    addresses: serde_json::Value,
    quiet: bool,
}

/// What to start, before it is started.
pub struct Launch {
    role: String,
    data: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// `weft <role>` with its data in `data` and all sockets on free ports. Epochs are short, so
    /// that tests see commits.
    pub fn new(role: &str, data: &Path) -> Self {
        let modules = crate::target_dir().join("modules");
        let mut arguments: Vec<String> =
            ["--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]
                .map(str::to_owned)
                .into();
        arguments.extend(["--modules".to_owned(), modules.display().to_string()]);
        let launch = Self { role: role.to_owned(), data: data.to_owned(), arguments, environment: Vec::new() };
        launch.flag("--flush-interval", "1s")
    }

    /// Adds or replaces a flag.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        match self.arguments.iter().position(|argument| argument == name) {
            Some(at) => value.clone_into(&mut self.arguments[at + 1]),
            None => self.arguments.extend([name.to_owned(), value.to_owned()]),
        }
        self
    }

    /// Adds an argument without a value.
    #[must_use]
    pub fn switch(mut self, name: &str) -> Self {
        self.arguments.push(name.to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Weft {
        let mut weft = self.spawn();
        weft.wait_until_ready();
        weft
    }

    /// Starts it without waiting.
    pub fn spawn(self) -> Weft {
        let child = spawn(&self.role, &self.data, &self.arguments, &self.environment);
        Weft {
            child,
            data: self.data,
            role: self.role,
            arguments: self.arguments,
            environment: self.environment,
            addresses: serde_json::Value::Null,
            quiet: false,
        }
    }
}

/// The binary of this build.
pub fn binary() -> PathBuf {
    let binary = crate::profile_dir().join("weft");
    assert!(binary.exists(), "{} is missing: run `make test`, or `cargo build -p weft` first", binary.display());
    binary
}

fn addresses_file(data: &Path) -> PathBuf {
    data.join("addresses.json")
}

fn log_file(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn spawn(role: &str, data: &Path, arguments: &[String], environment: &[(String, String)]) -> Child {
    std::fs::create_dir_all(data).unwrap();
    let _ = std::fs::remove_file(addresses_file(data));
    let log = File::options().create(true).append(true).open(log_file(data)).unwrap();
    Command::new(binary())
        .args(role.split(' '))
        .arg("--data")
        .arg(data)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Weft {
    /// `weft up` with defaults, its data in `data`.
    pub fn up(data: &Path) -> Self {
        Launch::new("up", data).start()
    }

    /// Waits until the process serves and says that it is ready.
    pub fn wait_until_ready(&mut self) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("weft {} ended with {status} before it was ready:\n{}", self.role, self.log());
            }
            if let Ok(text) = std::fs::read_to_string(addresses_file(&self.data)) {
                self.addresses = serde_json::from_str(&text).unwrap();
                if self.client().get("/ready").status == 200 {
                    return;
                }
            }
            assert!(began.elapsed() < START, "weft {} was not ready in {START:?}:\n{}", self.role, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `host:port` of `http`, `otlp_grpc` or `otlp_http`.
    pub fn address(&self, socket: &str) -> String {
        self.addresses[socket]
            .as_str()
            .unwrap_or_else(|| panic!("weft {} has no {socket} socket", self.role))
            .to_owned()
    }

    /// A client of the main HTTP socket.
    pub fn client(&self) -> Client {
        Client::new(&self.address("http"))
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// All it has printed since the first start.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(log_file(&self.data)) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// SIGKILL: no code of the process runs any more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for an orderly end.
    pub fn stop(&mut self) {
        // SAFETY is libc's: kill(2) on the pid of a child that was not waited for yet.
        #[allow(unsafe_code, reason = "std has no way to send SIGTERM")]
        let sent = unsafe { libc::kill(i32::try_from(self.child.id()).unwrap(), libc::SIGTERM) };
        assert_eq!(sent, 0);
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "weft did not stop within a minute of SIGTERM:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again on the same data, with the same arguments.
    pub fn restart(&mut self) {
        self.respawn();
        self.wait_until_ready();
    }

    /// As [`Self::restart`], without waiting.
    pub fn respawn(&mut self) {
        self.child = spawn(&self.role, &self.data, &self.arguments, &self.environment);
    }

    /// Leaves its log out of a failing test's output.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }
}

impl Drop for Weft {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() && !self.quiet {
            let log = self.log();
            let from = log.len().saturating_sub(8000);
            let tail: String = log.chars().skip(log[..from].chars().count()).collect();
            eprintln!("--- log of weft {} ---\n{tail}", self.role);
        }
    }
}
