//! A real SMTP server: aiosmtpd, which asks for STARTTLS and a password, and keeps each mail as a file.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{missing, run, scratch, wait_until};

const PYTHON: &str = "/usr/bin/python3";
pub(crate) const USER: &str = "watchkeeper";

/// A running server; `Drop` ends it.
#[derive(Debug)]
pub(crate) struct Smtp {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Smtp {
    /// Starts one that takes this password; `None` where there is none.
    pub(crate) fn start(password: &str) -> Option<Self> {
        let has = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            missing("no python3-aiosmtpd");
            return None;
        }
        let (folder, port) = (scratch::folder("smtp"), scratch::free_port());
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("mails")).unwrap();
        fs::write(at("smtp.py"), include_str!("smtp.py")).unwrap();
        certificates(&folder);
        let log = fs::File::create(at("log")).unwrap();
        let child = Command::new(PYTHON)
            .arg(at("smtp.py"))
            .arg(port.to_string())
            .args([at("mails"), at("cert.pem"), at("key.pem")])
            .args([USER, password])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { child, port, folder };
        wait_until("the SMTP server answers", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(this)
    }

    /// Who signed its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The mails as they came, the oldest first.
    pub(crate) fn mails(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.folder.path().join("mails")).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "eml"));
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ca.pem`, and by it `cert.pem` with `key.pem` for localhost.
fn certificates(folder: &TempDir) {
    fs::write(folder.path().join("ext"), "subjectAltName = DNS:localhost\n").unwrap();
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
    openssl(&format!("req {key} -keyout key.pem -out csr.pem -subj /CN=localhost"));
    openssl(
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext",
    );
}
