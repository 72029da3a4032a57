//! A name that may come to stand for another cluster: an address that leads to one, and to another one after a turn.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// It stays as long as this process, and so does its port.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    leads_to: Option<SocketAddr>,
    /// Both ends of each connection that was made since the last turn.
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// One that leads nowhere yet.
    pub(crate) fn start() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            // Whoever comes while it leads nowhere is sent away, as where nobody listens.
            listener.incoming().flatten().for_each(|client| drop(lead(&accepting, client)));
        });
        Proxy { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Leads to another cluster from now on. The connections to the one before are cut.
    pub(crate) fn turn(&self, leads_to: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.leads_to = Some(leads_to);
        for stream in state.streams.drain(..) {
            // One that has ended already has nothing to be cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lead(state: &Mutex<State>, client: TcpStream) -> io::Result<()> {
    let mut state = state.lock().unwrap();
    let Some(leads_to) = state.leads_to else { return Ok(()) };
    let broker = TcpStream::connect(leads_to)?;
    for (from, to) in [(&client, &broker), (&broker, &client)] {
        from.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    state.streams.extend([client, broker]);
    Ok(())
}
