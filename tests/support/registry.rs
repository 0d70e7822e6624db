//! Registries for tests: Debian's `docker-registry` on loopback, and a front before it that sees every request
//! and may answer in its place, as a hostile registry would.
#![allow(dead_code, reason = "each test program uses a part")]

use crate::layout::{Entry, Lab, Layout, Tar, digest, gzip};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A real registry that ends with the test.
pub struct Registry {
    child: Child,
    pub port: u16,
}

impl Registry {
    /// A registry over plain HTTP.
    pub fn plain(lab: &Lab) -> Self {
        Self::start(lab, "")
    }

    /// A registry with more lines in its `http` section, or sections behind it.
    pub fn start(lab: &Lab, more: &str) -> Self {
        let data = tempfile::tempdir_in(lab.directory.path()).unwrap().keep();
        let config = data.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n{more}",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Debian's docker-registry is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let said: Vec<String> = lines.by_ref().take_while(|line| !line.contains("listening on")).collect();
        let port = listening(&config).unwrap_or_else(|| panic!("the registry does not start: {said:#?}"));
        // It would block if nobody read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes a layout with skopeo, as `--format` or other options say.
    pub fn push(&self, layout: &Path, name: &str, options: &[&str]) {
        let output = Command::new("skopeo")
            .arg("--insecure-policy")
            .arg("copy")
            .args(options)
            .arg("--dest-tls-verify=false")
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/{name}", self.host()))
            .output()
            .expect("Debian's skopeo is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate authority and certificates of this machine by openssl(1), which knows nothing of our TLS.
pub fn certificates(lab: &Lab) -> std::path::PathBuf {
    let directory = lab.path("certificates");
    std::fs::create_dir(&directory).unwrap();
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.example,DNS:tokens.example,DNS:blobs.example\\nextendedKeyUsage=serverAuth,clientAuth\\n' > extensions
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
                -extfile extensions -out $name.pem
        done";
    let output = Command::new("sh").args(["-ec", script]).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
}

/// The port on which the process with this configuration listens: it is known to the kernel alone.
fn listening(config: &Path) -> Option<u16> {
    let needle = config.as_os_str().as_encoded_bytes().to_vec();
    let is_it = |path: &Path| {
        std::fs::read(path.join("cmdline"))
            .is_ok_and(|line| line.windows(needle.len()).any(|part| part == needle))
    };
    let process =
        std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(|path| is_it(path))?;
    let sockets: Vec<String> = std::fs::read_dir(process.join("fd"))
        .ok()?
        .flatten()
        .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_str()?.to_owned()))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(process.join("net/tcp")).ok()?;
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut row =
        row.filter(|row| row.len() > 9 && row[3] == "0A" && sockets.iter().any(|inode| inode == row[9]));
    u16::from_str_radix(row.next()?[1].rsplit(':').next()?, 16).ok()
}

/// Runs `sampanctl pull` on the store of a lab, below the root `root` of the lab, with this environment alone.
pub fn pull(lab: &Lab, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let root = lab.path("root");
    std::fs::create_dir_all(root.join("etc/sampan/registries.d")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_sampanctl"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", lab.path("home"))
        .envs(environment.iter().copied())
        .arg("--root")
        .arg(&root)
        .arg("pull")
        .args(arguments)
        .arg("--store")
        .arg(lab.store())
        .output()
        .unwrap()
}

/// The id of a pull that must succeed.
pub fn pulls(lab: &Lab, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = pull(lab, arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    output.split(' ').next().unwrap().trim_end().to_owned()
}

/// The error of a pull that must fail, and must leave no image.
pub fn fails(lab: &Lab, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = pull(lab, arguments, environment);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?} did not fail: {error}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    error.lines().last().unwrap_or_default().to_owned()
}

/// Writes a file of the settings below the root of a lab.
pub fn settings(lab: &Lab, name: &str, text: &str) {
    let path = lab.path("root/etc/sampan").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }

    pub fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

/// What a front does with a request.
pub enum Reply {
    /// Asks the registry behind it, and hands on what that says.
    Forward,
    /// Answers itself.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Does what it likes with the connection.
    Raw(Box<dyn FnOnce(&mut TcpStream) + Send>),
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }

    pub fn redirect(location: impl Into<String>) -> Self {
        Self::Answer(307, vec![("Location", location.into())], Vec::new())
    }

    pub fn challenge(challenge: impl Into<String>) -> Self {
        Self::Answer(401, vec![("WWW-Authenticate", challenge.into())], Vec::new())
    }

    /// As a proxy answers that lets us through.
    pub fn tunnel(port: u16) -> Self {
        Self::Raw(Box::new(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            tunnel(stream.try_clone().unwrap(), port);
        }))
    }

    pub fn json(body: &str) -> Self {
        Self::Answer(200, vec![("Content-Type", "application/json".to_owned())], body.as_bytes().to_vec())
    }
}

/// Joins a connection with a port of this machine, until both have said all.
pub fn tunnel(mut stream: TcpStream, port: u16) {
    let mut behind = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (stream.try_clone().unwrap(), behind.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut behind, &mut stream);
}

/// A server on loopback that is not what it seems.
pub struct Front {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Front {
    /// Serves each request as `handler` says; `behind` is the port of a real registry.
    pub fn start(behind: u16, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, handler) = (Arc::clone(&requests), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                std::thread::spawn(move || serve(stream, behind, &seen, &*handler));
            }
        });
        Self { port, requests }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests for blobs there were.
    pub fn blobs(&self) -> usize {
        self.requests().iter().filter(|request| request.is_blob()).count()
    }
}

fn serve(
    mut stream: TcpStream,
    behind: u16,
    seen: &Mutex<Vec<Request>>,
    handler: &dyn Fn(&Request) -> Reply,
) {
    let Some(request) = read_request(&stream) else {
        // As a server of plain HTTP answers what is none, for one the hello of TLS.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        return;
    };
    seen.lock().unwrap().push(request.clone());
    match handler(&request) {
        Reply::Forward => {
            let _ = stream.write_all(&ask(behind, &request));
        }
        Reply::Answer(status, headers, body) => {
            let mut head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
            headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&body));
        }
        Reply::Raw(act) => act(&mut stream),
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut first = [0];
    stream.peek(&mut first).ok()?;
    if !first[0].is_ascii_uppercase() {
        return None;
    }
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ').map(str::to_owned);
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    Some(Request { method: words.next()?, path: words.next()?, headers, body })
}

/// The whole answer of the registry on a port.
pub fn ask(port: u16, request: &Request) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in request.headers.iter().filter(|(name, _)| *name != "connection") {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// The head and the body of an answer.
pub fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
}

/// Bytes that do not pack: the layer stays as large as it is.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A registry with the image `team/web:1` of one layer of 3 MB, and the layer's digest.
pub fn filled(lab: &Lab) -> (Registry, String) {
    let registry = Registry::plain(lab);
    let body = noise(3_000_000);
    let tar = Tar::default().entry(&Entry { name: "noise", body: &body, ..Default::default() }).end();
    let layer = gzip(&tar);
    let digest = digest(&layer.bytes);
    registry.push(&Layout::write(&lab.path("web"), &[layer]).path, "team/web:1", &[]);
    (registry, digest)
}

/// Deadlines that fit a test.
pub fn hasty(lab: &Lab) {
    settings(lab, "registries.d/hasty.toml", "[transfer]\nstall_timeout = \"2s\"\nattempts = 3\n");
}

/// Sends what the registry says, and breaks off after this many bytes of the body.
pub fn broken_off(port: u16, request: &Request, after: usize) -> Reply {
    let (head, body) = split(&ask(port, request));
    Reply::Raw(Box::new(move |stream| {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..after.min(body.len())]).unwrap();
    }))
}

/// A file of credentials for a registry: "me" and "secret".
pub fn credentials(lab: &Lab, host: &str) {
    settings(
        lab,
        "auth.json",
        &serde_json::json!({ "auths": { host: { "auth": "bWU6c2VjcmV0" } } }).to_string(),
    );
}
