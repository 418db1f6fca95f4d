//! A place for states that is not this machine: what Terraform's `http` backend talks to.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    sync::{Arc, Mutex, PoisonError},
};

use crate::stack::{PROVIDER, Workspace};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Keeps one state, without locks: a lock outlives whoever is killed, and says nothing about us.
pub(crate) struct Backend {
    address: SocketAddr,
    state: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<Option<Vec<u8>>>>::default();
        let kept = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, Arc::clone(&kept)));
            }
        });
        Self { address, state }
    }

    /// Keeps the state of this workspace from now on. There is none yet.
    pub(crate) async fn keep(&self, terraform: &Workspace) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let block = format!(
            "terraform {{\n  backend \"http\" {{\n    address = \"http://{}/state\"\n  }}\n}}\n",
            self.address
        );
        fs::write(terraform.path("backend.tf"), block).unwrap();
        // Terraform wants to have installed what it is told to take from elsewhere.
        let plugins = terraform.path("plugins");
        let own = plugins.join("registry.terraform.io/ipam/ipam/0.0.1/linux_amd64");
        fs::create_dir_all(&own).unwrap();
        symlink(PROVIDER, own.join("terraform-provider-ipam_v0.0.1")).unwrap();
        let plugins = format!("-plugin-dir={}", plugins.display());
        let init = ["init", "-no-color", "-input=false", &plugins];
        terraform.terraform(&init).await.succeeded();
    }
}

/// One connection, request after request. A state is replaced as a whole or not at all.
async fn answer(client: TcpStream, state: Arc<Mutex<Option<Vec<u8>>>>) -> Option<()> {
    let mut client = BufReader::new(client);
    loop {
        let (mut method, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            if client.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if method.is_none() {
                method = text.split(' ').next().map(str::to_owned);
            }
            if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await.ok()?;
        let reply = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match method.as_deref() {
                Some("POST") => {
                    *state = Some(body);
                    Vec::new()
                }
                Some("DELETE") => {
                    *state = None;
                    Vec::new()
                }
                _ => state.clone().unwrap_or_default(),
            }
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len());
        client.write_all(head.as_bytes()).await.ok()?;
        client.write_all(&reply).await.ok()?;
    }
}
