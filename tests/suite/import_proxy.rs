//! [`Proxy`]: stands between an import and its server, and cuts connections where they hurt.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut {
    /// Before the server is told its nth COMMIT.
    BeforeCommit(usize),
    /// When the server has done it and answers.
    AfterCommit(usize),
    /// As `BeforeCommit`, but the server is not told that nobody is there any more, as when a network is cut.
    Silently(usize),
    /// When so many bytes have gone to the server.
    AtByte(usize),
}

/// A proxy; its connections are cut in their order, each in its way, those after that never.
pub struct Proxy {
    port: u16,
    made: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the server at this port of this machine.
    pub fn start(server: u16, cuts: Vec<Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(Mutex::new(VecDeque::from(cuts)));
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let cut = cuts.lock().unwrap().pop_front();
                std::thread::spawn({
                    let count = Arc::clone(&count);
                    move || {
                        if pump(client, server, cut) {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        Self { port, made }
    }

    /// The URL with this in place of its server.
    pub fn url(&self, url: &str) -> String {
        let (before, port) = url.split_once("127.0.0.1:").expect("a port");
        let (_, behind) = port.split_once('/').expect("a database");
        format!("{before}127.0.0.1:{}/{behind}", self.port)
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

/// Whether it was cut.
fn pump(mut client: TcpStream, mut server: TcpStream, cut: Option<Cut>) -> bool {
    // Nothing more is handed to the client from then on.
    let deaf = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicBool::new(false));
    let back = std::thread::spawn({
        let (mut server, mut client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (deaf, answered) = (Arc::clone(&deaf), Arc::clone(&answered));
        move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(n @ 1..) = server.read(&mut bytes) {
                if deaf.load(Ordering::SeqCst) {
                    answered.store(true, Ordering::SeqCst);
                } else if client.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
        }
    });
    let mut bytes = vec![0; 64 << 10];
    let (mut sent, mut commits, mut was_cut) = (0, 0, false);
    while let Ok(n @ 1..) = client.read(&mut bytes) {
        let chunk = &bytes[..n];
        commits += chunk.windows(7).filter(|word| *word == b"COMMIT\0").count();
        match cut {
            Some(Cut::BeforeCommit(nth)) if commits >= nth => was_cut = true,
            Some(Cut::AtByte(most)) if sent + n >= most => {
                let _ = server.write_all(&chunk[..most - sent]);
                was_cut = true;
            }
            Some(Cut::AfterCommit(nth)) if commits >= nth => {
                deaf.store(true, Ordering::SeqCst);
                let _ = server.write_all(chunk);
                while !answered.load(Ordering::SeqCst) && !back.is_finished() {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                was_cut = true;
            }
            Some(Cut::Silently(nth)) if commits >= nth => {
                deaf.store(true, Ordering::SeqCst);
                let _ = client.shutdown(Shutdown::Both);
                // Until the server itself gives the connection up.
                let _ = back.join();
                return true;
            }
            _ => {
                if server.write_all(chunk).is_err() {
                    break;
                }
                sent += n;
            }
        }
        if was_cut {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    was_cut
}
