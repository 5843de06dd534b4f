//! Takes connections, closes them in place of an answer, and takes none for a while.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::answer::Lost;
use crate::desk::Desk;
use crate::{api, control};

pub fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = bound((Ipv4Addr::LOCALHOST, port).into())?.listen(1024)?;
    Ok(listener)
}

/// A socket that has its address and takes no connections: they are refused, and nobody else gets the port.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves for ever.
pub async fn serve(mut listener: TcpListener, desk: Arc<Desk>) -> io::Result<()> {
    let address = listener.local_addr()?;
    let app: Router = api::routes().merge(control::routes()).with_state(Arc::clone(&desk));
    let mut closed = desk.closed.subscribe();
    loop {
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, app.clone(), desk.closed.subscribe()))),
                // Too many files are open: some will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            _ = closed.changed() => {
                let time = *closed.borrow_and_update();
                drop(listener);
                let socket = bound(address)?;
                tokio::time::sleep(time).await;
                listener = socket.listen(1024)?;
            }
        }
    }
}

/// Answers on one connection until the other side closes it, an answer is to be lost, or an outage begins: then what is under way
/// is answered, so that whatever comes later was certainly not taken.
async fn connection(stream: TcpStream, app: Router, mut closed: watch::Receiver<Duration>) {
    let _ = stream.set_nodelay(true);
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = app.call(request.map(Body::new));
        async move {
            let response = answer.await.map_err(io::Error::other)?;
            match response.extensions().get::<Lost>() {
                Some(Lost) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok(response),
            }
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closed.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
