//! SIGINT and SIGTERM: the first stops cleanly, the second at once. SIGHUP: the configuration is read again.

use crate::exit::Code;

/// Waits for the first signal, and arms the second: it ends the process on the spot.
pub(crate) async fn stop() -> Code {
    let code = signal().await;
    tokio::spawn(async {
        let code = signal().await;
        std::process::exit(code as i32);
    });
    code
}

/// SIGHUPs from now on. Without this the first would end the process.
pub(crate) struct HangUps {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl HangUps {
    pub(crate) fn new() -> HangUps {
        HangUps {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Waits for the next one. Several that arrive while nobody waits are one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals
            && signals.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn signal() -> Code {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Code::Interrupted,
        _ = terminate.recv() => Code::Terminated,
    }
}

#[cfg(not(unix))]
async fn signal() -> Code {
    match tokio::signal::ctrl_c().await {
        Ok(()) => Code::Interrupted,
        Err(_) => std::future::pending().await,
    }
}
