//! A real S3 server (s3s-fs) over a folder, on a port of its own, that can be made to fail.

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Access key of the server.
pub const ACCESS_KEY: &str = "weft-tests";
/// Its secret.
pub const SECRET_KEY: &str = "weft-tests-secret";
/// The bucket that exists.
pub const BUCKET: &str = "weft";

/// A running server.
pub struct S3 {
    address: String,
    down: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl S3 {
    /// Serves the folder `root`.
    pub fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let down = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&down);
        runtime.spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let (service, server, is_down) = (service.clone(), server.clone(), Arc::clone(&is_down));
                tokio::spawn(async move {
                    if is_down.load(Ordering::Relaxed) {
                        return;
                    }
                    let socket = hyper_util::rt::TokioIo::new(socket);
                    let connection = server.serve_connection(socket, service);
                    tokio::select! {
                        _ = connection => {}
                        () = until(&is_down) => {}
                    }
                });
            }
        });
        Self { address, down, _runtime: runtime }
    }

    /// Cuts all connections and takes no more, or serves again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// `s3://…` of a prefix in the bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a process needs in its environment to use the server.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// The same as arguments of `read_tables.py`.
    pub fn options(&self) -> Vec<String> {
        self.environment().iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

async fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
