//! Opens TCP connections: through a proxy, if there is one, and directly.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::{Proxy, ProxyError, read_answer};

/// How long a proxy may take to open a tunnel. After that, there is time left to connect directly.
const PROXY_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a direct connection may take to open, if the proxy gave none.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a proxy's answer that are read in one call.
const READ: usize = 1024;

/// Connects through the proxy. If the proxy gives no tunnel, connects directly: a proxy often lets only port 443
/// through, and the firewall may let more through. If both fail, returns the proxy's error.
pub(super) async fn dial<T, D>(
    proxy: &Proxy,
    host: &str,
    port: u16,
    tunnel: impl FnOnce(TcpStream) -> T,
    direct: D,
) -> Result<T, ProxyError>
where
    D: Future<Output = Option<T>>,
{
    let opening = timeout(PROXY_TIMEOUT, open_tunnel(proxy, host, port));
    let error = match opening.await.unwrap_or(Err(ProxyError::Unreachable)) {
        Ok(stream) => return Ok(tunnel(stream)),
        Err(error) => error,
    };
    tracing::info!("{error}; connecting directly");
    timeout(DIRECT_TIMEOUT, direct).await.ok().flatten().ok_or(error)
}

async fn open_tunnel(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
    let unreachable = |_: io::Error| ProxyError::Unreachable;
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await.map_err(unreachable)?;
    stream.write_all(proxy.request(host, port).as_bytes()).await.map_err(unreachable)?;
    let mut answer = Vec::new();
    while !read_answer(&answer)? {
        let start = answer.len();
        answer.resize(start + READ, 0);
        let read = match answer.get_mut(start..) {
            Some(free) => stream.read(free).await.map_err(unreachable)?,
            None => 0,
        };
        answer.truncate(start + read);
        if read == 0 {
            return Err(ProxyError::Unreachable);
        }
    }
    Ok(stream)
}
