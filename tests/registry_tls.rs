//! A registry over TLS as large sites run theirs: a front that lets people in by tokens of another server, and
//! redirects blobs to a third. Debian's nginx is all three, before Debian's docker-registry.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use layout::{Lab, Layout, Tar, gzip};
use registry::{Front, Registry, Reply, certificates, fails, pulls, settings};
use serde_json::json;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The front, on three ports: `localhost` is the registry, `127.0.0.1` has tokens and blobs.
struct Site {
    child: Child,
    registry: u16,
    tokens: u16,
    blobs: u16,
    logs: PathBuf,
}

/// "me:secret", which the token service wants.
const BASIC: &str = "Basic bWU6c2VjcmV0";

impl Site {
    fn start(lab: &Lab, behind: u16, redirect: &str) -> Self {
        Self::with_tokens_of(lab, behind, "https://127.0.0.1:TOKENS", redirect)
    }

    fn with_tokens_of(lab: &Lab, behind: u16, realm: &str, redirect: &str) -> Self {
        let files = certificates(lab);
        let logs = lab.path("logs");
        std::fs::create_dir(&logs).unwrap();
        let [registry, tokens, blobs] = free_ports();
        let redirect = redirect.replace("BLOBS", &blobs.to_string());
        let realm = realm.replace("TOKENS", &tokens.to_string());
        let (files, logs_at) = (files.display(), logs.display());
        let tls = format!("ssl_certificate {files}/server.pem; ssl_certificate_key {files}/server.key;");
        let text = format!(
            r#"
daemon off; master_process off; pid {logs_at}/pid; error_log {logs_at}/error;
events {{}}
http {{
  access_log off;
  log_format seen '$request_method $uri "$http_authorization"';
  client_body_temp_path {logs_at}/1; proxy_temp_path {logs_at}/2; fastcgi_temp_path {logs_at}/3;
  uwsgi_temp_path {logs_at}/4; scgi_temp_path {logs_at}/5;
  {tls}
  server {{
    listen 127.0.0.1:{registry} ssl;
    access_log {logs_at}/registry seen;
    location ~ ^/v2/.*/blobs/ {{
      if ($http_authorization != "Bearer good") {{ return 418; }}
      return 307 {redirect}$request_uri;
    }}
    location /v2/ {{
      if ($http_authorization != "Bearer good") {{ return 418; }}
      proxy_pass http://127.0.0.1:{behind};
      proxy_set_header Authorization "";
      proxy_set_header Host $http_host;
    }}
    error_page 418 =401 @challenge;
    location @challenge {{
      add_header WWW-Authenticate 'Bearer realm="{realm}/token",service="site"' always;
      return 401;
    }}
  }}
  server {{
    listen 127.0.0.1:{tokens} ssl;
    access_log {logs_at}/tokens seen;
    location /token {{
      if ($http_authorization != "{BASIC}") {{ return 403; }}
      default_type application/json;
      return 200 '{{"token":"good"}}';
    }}
  }}
  server {{
    listen 127.0.0.1:{blobs} ssl;
    access_log {logs_at}/blobs seen;
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_set_header Authorization "";
    }}
  }}
}}
"#
        );
        let config = lab.path("nginx.conf");
        std::fs::write(&config, text).unwrap();
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(logs.join("error"))
            .spawn()
            .expect("Debian's nginx is installed");
        let site = Self { child, registry, tokens, blobs, logs };
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", registry)).is_err() {
            assert!(Instant::now() < end, "{}", site.log("error"));
            std::thread::yield_now();
        }
        let host = format!("localhost:{registry}");
        let ca = format!("[registry.\"{host}\"]\nca = \"{files}/ca.pem\"\n");
        settings(lab, "registries.toml", &ca);
        settings(lab, "auth.json", &json!({ "auths": { host: { "auth": &BASIC[6..] } } }).to_string());
        site
    }

    fn name(&self) -> String {
        format!("localhost:{}/team/web:1", self.registry)
    }

    /// What a server has seen: method, path and authorization of each request.
    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.logs.join(name)).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody has: nginx cannot be asked which ones it took.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn filled(lab: &Lab) -> (Registry, Layout) {
    let registry = Registry::plain(lab);
    let layout = Layout::write(&lab.path("web"), &[gzip(&Tar::default().file("etc/version", "1").end())]);
    registry.push(&layout.path, "team/web:1", &[]);
    (registry, layout)
}

#[test]
fn credentials_stay_where_they_belong_on_a_site_of_three_servers() {
    let lab = Lab::new();
    let (registry, layout) = filled(&lab);
    let site = Site::start(&lab, registry.port, "https://127.0.0.1:BLOBS");
    assert_eq!(pulls(&lab, &[&site.name()], &[]), lab.import(&layout.path, "imported"));
    let (front, tokens, blobs) = (site.log("registry"), site.log("tokens"), site.log("blobs"));
    assert!(front.contains("\"Bearer good\"") && !front.contains("Basic"), "{front}");
    assert_eq!(tokens, format!("GET /token \"{BASIC}\"\n"), "the password goes to the token service alone");
    assert_eq!(blobs.lines().count(), 2, "a configuration and a layer: {blobs}");
    assert!(blobs.lines().all(|line| line.ends_with("\"-\"")), "nothing goes where blobs are: {blobs}");
    lab.assert_sound();
}

#[test]
fn a_redirect_out_of_tls_is_not_followed() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    // To the same machine, where it would be heard by all who listen on the way.
    let site = Site::start(&lab, registry.port, &format!("http://example.invalid:{}", registry.port));
    let error = fails(&lab, &[&site.name()], &[]);
    assert!(error.contains("which is plain HTTP: refused"), "{error}");
    assert_eq!(site.log("blobs"), "");
}

#[test]
fn an_unknown_authority_of_another_server_is_not_trusted_either() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let site = Site::start(&lab, registry.port, "https://127.0.0.1:BLOBS");
    std::fs::remove_file(lab.path("root/etc/sampan/registries.toml")).unwrap();
    let error = fails(&lab, &[&site.name()], &[]);
    assert!(error.contains("UnknownIssuer") && error.contains("\"ca\" of sampan-registries(5)"), "{error}");
    assert_eq!((site.log("registry"), site.log("tokens")), (String::new(), String::new()));
}

#[test]
fn a_proxy_on_a_private_address_leads_to_all_servers_of_a_site() {
    let lab = Lab::new();
    let (registry, layout) = filled(&lab);
    let site = Site::with_tokens_of(&lab, registry.port, "https://tokens.example", "https://blobs.example");
    let ca =
        format!("[registry.\"registry.example\"]\nca = \"{}/ca.pem\"\n", lab.path("certificates").display());
    settings(&lab, "registries.toml", &ca);
    let auth = json!({ "auths": { "registry.example": { "auth": &BASIC[6..] } } });
    settings(&lab, "auth.json", &auth.to_string());
    let ports = [site.registry, site.tokens, site.blobs];
    // Nobody but the proxy can find these names.
    let proxy = Front::start(0, move |request| match request.path.as_str() {
        "registry.example:443" => Reply::tunnel(ports[0]),
        "tokens.example:443" => Reply::tunnel(ports[1]),
        "blobs.example:443" => Reply::tunnel(ports[2]),
        _ => Reply::status(502),
    });
    let environment = [("HTTPS_PROXY", &*format!("http://{}", proxy.host()))];
    let id = pulls(&lab, &["registry.example/team/web:1"], &environment);
    assert_eq!(id, lab.import(&layout.path, "imported"));
    assert_eq!(site.log("blobs").lines().count(), 2, "a configuration and a layer");
    lab.assert_sound();
}
