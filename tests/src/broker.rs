//! A real Apache Kafka broker: one node, KRaft, from the jars that `tests/kafka/fetch` copies to
//! `target/kafka`. It keeps its ports and data over [`Broker::kill`] and [`Broker::restart`].

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a broker may take to answer. Generous: CI machines compile beside it.
const START: Duration = Duration::from_secs(120);
/// How often another pair of ports is tried: between picking one and using it, others may take it.
const ATTEMPTS: usize = 3;
/// Small and quick to start; nothing here runs long enough for the JVM's better compiler.
const JVM: [&str; 5] =
    ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=WARN"];

/// A running broker. Killed, and its data deleted, when dropped.
pub struct Broker {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Broker {
    /// Starts one with `settings` (lines of server.properties) on top of the harness's own. `None`,
    /// said on stderr, when the jars aren't there; in CI (environment variable `CI`) that fails.
    pub fn start_with(settings: &str) -> Option<Self> {
        if !jars().join(".complete").exists() {
            let advice = format!("no Apache Kafka in {}: run tests/kafka/fetch", jars().display());
            assert!(std::env::var_os("CI").is_none(), "{advice}");
            eprintln!("skipped: {advice}");
            return None;
        }
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_start(settings) {
                Ok(broker) => return Some(broker),
                Err(error) => failure = error,
            }
        }
        panic!("Kafka does not start; is `java` 17 or newer? Its last words:\n{failure}");
    }

    /// [`Broker::start_with`] nothing more than needed.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    fn try_start(settings: &str) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let (port, controller) = two_free_ports();
        let data = dir.path().join("data");
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\n\
             {settings}\n",
            data.display()
        );
        std::fs::write(dir.path().join("server.properties"), properties).unwrap();
        let mut broker = Self { dir, port, child: None };
        let format = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", "d2VmdC10ZXN0cy1rYWZrYQ", "--config"])
            .arg(broker.dir.path().join("server.properties"))
            .output()
            .map_err(|error| format!("java: {error}"))?;
        if !format.status.success() {
            return Err(String::from_utf8_lossy(&format.stderr).into_owned());
        }
        broker.launch()?;
        Ok(broker)
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(JVM).arg("-cp").arg(jars().join("*")).arg(class).stdin(Stdio::null());
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    fn launch(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = self
            .java("kafka.Kafka")
            .arg(self.dir.path().join("server.properties"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("java: {error}"))?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + START;
        while !answers(self.port) {
            let exited = child.try_wait().unwrap();
            if exited.is_some() || Instant::now() > deadline {
                return Err(tail(&std::fs::read_to_string(self.log()).unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What clients connect to: `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL: no farewell, no flush. Does nothing when it isn't running.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same ports and data, after [`Broker::kill`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the broker is still running");
        if let Err(failure) = self.launch() {
            panic!("Kafka does not come back:\n{failure}");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn jars() -> PathBuf {
    crate::target_dir().join("kafka")
}

/// Both held until both are known, so that they differ.
fn two_free_ports() -> (u16, u16) {
    let listen = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (first, second) = (listen(), listen());
    (first.local_addr().unwrap().port(), second.local_addr().unwrap().port())
}

/// Whether a broker answers the protocol's first question (ApiVersions, version 0). It does so only
/// once it is fully up.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    // Length 10, api key 18, version 0, correlation id 7, no client id.
    let question = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let mut answer = [0; 10];
    stream.write_all(&question).is_ok() && stream.read_exact(&mut answer).is_ok() && answer[4..] == [0, 0, 0, 7, 0, 0]
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
