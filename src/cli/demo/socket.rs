//! What the demo listens on: TCP or a Unix socket.

use anyhow::{Context, anyhow};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A bound socket.
pub(super) enum Socket {
    /// Bound to host and port.
    Tcp(TcpListener),
    /// Bound to a path.
    Unix(UnixListener, Unlink),
}

impl Socket {
    /// Binds `host:port` or `unix:/path`.
    pub(super) async fn bind(address: &str) -> anyhow::Result<Self> {
        let Some(path) = address.strip_prefix("unix:").map(Path::new) else {
            let bound = TcpListener::bind(address).await;
            return bound.map(Self::Tcp).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => anyhow!("write `host:port` or `unix:/path`"),
                _ => error.into(),
            });
        };
        if is_abandoned(path).await {
            tokio::fs::remove_file(path).await.context("cannot remove the abandoned socket")?;
        }
        Ok(Self::Unix(UnixListener::bind(path)?, Unlink(path.to_owned())))
    }

    /// The address as a client would write it.
    pub(super) fn url(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("http://{}", listener.local_addr()?)),
            Self::Unix(_, Unlink(path)) => Ok(format!("unix:{}", path.display())),
        }
    }

    /// The name of an instance that was given none.
    pub(super) fn label(&self) -> String {
        let part = match self {
            Self::Tcp(listener) => listener.local_addr().map(|at| at.port().to_string()).ok(),
            Self::Unix(_, Unlink(path)) => {
                path.file_stem().map(|stem| stem.to_string_lossy().replace(char::is_control, ""))
            }
        };
        part.map_or_else(|| "demo".into(), |part| format!("demo-{part}"))
    }

    /// The next connection and who made it.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Io>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // Without it, small events of a stream wait for the previous one's acknowledgement.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), remote.to_string()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), "unix".into()))
            }
        }
    }
}

/// The bytes of a connection, whatever carries them.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Removes a socket's file when the socket is no longer used.
pub(super) struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether a process that was killed left its socket behind.
async fn is_abandoned(path: &Path) -> bool {
    // Connecting to an ordinary file is refused just the same, and that must not be removed.
    let is_socket = path.metadata().is_ok_and(|file| file.file_type().is_socket());
    let refused = io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.is_err_and(|error| error.kind() == refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(dir: &tempfile::TempDir) -> String {
        format!("unix:{}", dir.path().join("app.sock").display())
    }

    #[tokio::test]
    async fn port_zero_picks_one_and_names_the_instance_after_it() {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let url = socket.url().unwrap();
        let port = url.strip_prefix("http://127.0.0.1:").unwrap();
        assert_ne!(port, "0");
        assert_eq!(socket.label(), format!("demo-{port}"));
    }

    #[tokio::test]
    async fn a_unix_socket_is_named_after_its_file_and_removed_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let socket = Socket::bind(&unix(&dir)).await.unwrap();
        assert_eq!(socket.url().unwrap(), unix(&dir));
        assert_eq!(socket.label(), "demo-app");
        drop(socket);
        assert!(!dir.path().join("app.sock").exists());
    }

    #[tokio::test]
    async fn an_abandoned_unix_socket_is_taken_over_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("app.sock")).unwrap());
        let _living = Socket::bind(&unix(&dir)).await.unwrap();
        assert!(Socket::bind(&unix(&dir)).await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        tokio::fs::write(dir.path().join("app.sock"), "precious").await.unwrap();
        assert!(Socket::bind(&unix(&dir)).await.is_err());
        assert_eq!(tokio::fs::read(dir.path().join("app.sock")).await.unwrap(), b"precious");
    }
}
