//! Listening sockets and their orderly end.

use axum::Router;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use weft_env::Shutdown;

/// A bound socket that doesn't serve yet: binding all before serving any tells about a taken port at
/// once, with nothing half started.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: Router,
}

/// Binds `address` (`host:port`; port 0 takes a free one) for `router`.
///
/// # Errors
/// As the operating system says, with the address in the message.
pub async fn bind(address: &str, router: Router) -> io::Result<Server> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("can't listen on {address}: {error}")))?;
    Ok(Server { listener, router })
}

impl Server {
    /// Where it listens.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves HTTP/1.1 and HTTP/2 (also without TLS, by prior knowledge, as gRPC clients do) until
    /// shutdown begins, then finishes the requests it has.
    pub fn serve(self, shutdown: Shutdown) -> impl Future<Output = io::Result<()>> + Send {
        let Self { listener, router } = self;
        async move {
            // Small answers must not wait for a full packet.
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY was refused");
                }
            });
            axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.wait().await }).await
        }
    }
}
