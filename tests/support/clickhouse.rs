//! The real ClickHouse engine for tests: installed by the test itself, started on loopback, ended with the test.
//!
//! The engine is that of PyPI's `chdb-core`, pinned by its hash and kept under `target/clickhouse-engine`;
//! `clickhouse_http.py` beside this file opens ClickHouse's own HTTP server on it. With `CLICKHOUSE_URL` in the environment
//! that server is used instead (`http://host:port`, user `default` without a password), but for tests that need users of
//! their own or stop the server.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const VERSION: &str = "26.9.0";
const WHEEL_SHA256: &str = "707e2ec3fe0f7953bac97942eaeb7a1ed1d66b1e56ecef3f0aa2130f61f6e735";

/// A second user may sign in with this name; it has all rights.
pub(crate) const USER: &str = "otel";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "correct horse";
/// A user without a password who may read and not write.
pub(crate) const READER: &str = "reader";

const EXTRA_USERS: &str = "<reader><password/><networks><ip>::/0</ip></networks><profile>default</profile>\
    <quota>default</quota><grants><query>GRANT SELECT, SHOW COLUMNS ON *.*</query></grants></reader>";

/// The name of the cluster that [`Server::sharded`] makes.
pub(crate) const CLUSTER: &str = "shards";

/// A running server.
pub(crate) struct Server {
    host: String,
    process: Option<Child>,
    folder: PathBuf,
    /// Part of its configuration, as XML.
    config: String,
    /// The port of the protocol in which servers talk; 0 is any.
    tcp_port: u16,
}

impl Server {
    /// The server that all tests of a process share; each takes a database of its own from it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("CLICKHOUSE_URL") {
            Ok(url) => {
                let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
                Self { host, process: None, folder: PathBuf::new(), config: String::new(), tcp_port: 0 }
            }
            Err(_) => Self::own(free_port()),
        })
    }

    /// The engine with the users [`USER`] and [`READER`], which a server of somebody else's lacks.
    pub(crate) fn with_users() -> &'static Self {
        static ENGINE: OnceLock<Server> = OnceLock::new();
        match std::env::var("CLICKHOUSE_URL") {
            Ok(_) => ENGINE.get_or_init(|| Self::own(free_port())),
            Err(_) => Self::shared(),
        }
    }

    /// A server for one test, which may stop and kill it.
    pub(crate) fn own(port: u16) -> Self {
        Self::configured(port, 0, String::new())
    }

    /// Two servers for one test, which both know the other and themselves as the shards of [`CLUSTER`].
    pub(crate) fn sharded() -> [Self; 2] {
        let ports = [free_port(), free_port()];
        let shard =
            |port| format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>");
        let shards: String = ports.map(shard).concat();
        let config = format!("<remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers>");
        ports.map(|tcp_port| Self::configured(free_port(), tcp_port, config.clone()))
    }

    fn configured(port: u16, tcp_port: u16, config: String) -> Self {
        let folder = target().join(format!("clickhouse-engine/data-{}-{port}", std::process::id()));
        let process = Some(launch(port, tcp_port, &folder, &config));
        Self { host: format!("127.0.0.1:{port}"), process, folder, config, tcp_port }
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Makes a database that no other test uses and says its name.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.query(&format!("DROP DATABASE IF EXISTS {name}"));
        self.query(&format!("CREATE DATABASE {name}"));
        name
    }

    /// The answer to a query, which has to work.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> String {
        // HTTP/1.0 has no chunks, so an answer can be read without a library.
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let length = sql.len();
        write!(stream, "POST /?wait_end_of_query=1 HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{sql}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{sql}: {body}");
        body.trim_end().to_owned()
    }

    /// Sends the process a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Kills the process without warning, as a crash does; its data stays.
    pub(crate) fn crash(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts it again after [`Server::crash`], with its data and at its address.
    pub(crate) fn recover(&mut self) {
        let port = self.host.rsplit_once(':').unwrap().1.parse().unwrap();
        self.process = Some(launch(port, self.tcp_port, &self.folder, &self.config));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.stdin.take());
            process.wait().unwrap();
            // The launcher removes its data, but for what the engine writes while it ends.
            for folder in [self.folder.clone(), self.folder.with_extension("conf")] {
                if folder.exists() {
                    fs::remove_dir_all(folder).unwrap();
                }
            }
        }
    }
}

/// Starts the engine and waits until it answers.
fn launch(port: u16, tcp_port: u16, folder: &Path, config: &str) -> Child {
    let launcher = root().join("tests/support/clickhouse_http.py");
    let users = folder.with_extension("users.xml");
    let extra = folder.with_extension("config.xml");
    let python = installed();
    fs::write(&users, EXTRA_USERS).unwrap();
    fs::write(&extra, config).unwrap();
    let mut process = Command::new(python)
        .arg(&launcher)
        .args(["--remove", "--exit-with-stdin", "--http-port", &port.to_string()])
        .args(["--tcp-port", &tcp_port.to_string()])
        .args(["--user", USER, "--password", PASSWORD])
        .arg("--extra-users")
        .arg(&users)
        .arg("--extra-config")
        .arg(&extra)
        .arg("--path")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.is_ok_and(|line| line.starts_with("ready ")));
    assert!(is_ready, "the engine did not start; try: python3 {} --path /tmp/x", launcher.display());
    fs::remove_file(users).unwrap();
    fs::remove_file(extra).unwrap();
    process
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder of the workspace, whichever package the test belongs to.
fn root() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("Cargo.lock").exists()).unwrap()
}

fn target() -> PathBuf {
    let default = || root().join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}

/// The Python that has the engine; installs both when they are not there.
fn installed() -> PathBuf {
    let folder = target().join("clickhouse-engine");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let home = folder.join(VERSION);
    let python = home.join("bin/python");
    let done = home.join("installed");
    if !done.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        let requirements = home.join("requirements.txt");
        fs::write(&requirements, format!("chdb-core=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")).unwrap();
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
                "-r",
            ])
            .arg(requirements));
        fs::write(done, "").unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}
