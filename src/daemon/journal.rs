//! Log lines as entries of systemd's journal: a text for people, and each field by a name of its own.
//!
//! `journalctl -u pixelsink PIXELSINK_LIST=easyprivacy` finds what was said of one list, `-p warning` what bites. The crate
//! tracing-journald does not do: it leaves the fields out of the text, where people look for them.
//! The protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::fmt::{Debug, Write as _};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SOCKET: &str = "/run/systemd/journal/socket";
/// Longer values are cut: an entry has to fit into one datagram, of which the kernel takes 200 KiB as it comes.
const VALUE_MAX: usize = 8 * 1024;
/// Field names that tracing-log gives what other crates log; they say where in the source.
const FROM_LOG: &str = "log.";

/// Writes to the journal.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// The journal, if that is what standard error leads to and it takes entries (systemd.exec(5), `$JOURNAL_STREAM`).
    pub(super) fn open() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = std::fs::metadata("/proc/self/fd/2").ok()?;
        if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        // A journal that hangs must not hold up answers: what it does not take is lost.
        socket.set_nonblocking(true).ok()?;
        Some(Self(socket))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let _ = self.0.send(&entry.datagram(*event.metadata().level()));
    }
}

/// What was said, and the fields that it was said with.
#[derive(Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    fn datagram(&self, level: Level) -> Vec<u8> {
        let mut datagram = Vec::new();
        let mut put = |name: &str, value: &str| {
            let value = value.get(..value.floor_char_boundary(VALUE_MAX)).unwrap_or_default();
            datagram.extend_from_slice(name.as_bytes());
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
            datagram.extend_from_slice(value.as_bytes());
            datagram.push(b'\n');
        };
        // The numbers of syslog(3).
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        put("PRIORITY", priority);
        put("SYSLOG_IDENTIFIER", "pixelsink");
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{name}={value}");
        }
        put("MESSAGE", &text);
        for (name, value) in &self.fields {
            put(&field_name(name), value);
        }
        datagram
    }

    fn put(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = visible(value, true),
            name if name.starts_with(FROM_LOG) => {}
            name => self.fields.push((name, visible(value, false))),
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// What a name on the network or a list says must not look like something else on a terminal. Lines of our own stay lines.
fn visible(text: &str, with_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !(with_lines && c == '\n') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The journal takes capital letters, digits and underscores.
fn field_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("PIXELSINK_{}", name.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What reaches the journal of what `say` logs, as `NAME=value` in order.
    #[track_caller]
    fn check(say: impl FnOnce(), expected: &[&str]) {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal(ours)), say);
        let mut datagram = vec![0; 65_536];
        let length = journal.recv(&mut datagram).unwrap();
        let mut rest = &datagram[..length];
        let mut fields = Vec::new();
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let (name, after) = rest.split_at(end);
            let (size, after) = after[1..].split_first_chunk::<8>().unwrap();
            let (value, after) = after.split_at(usize::try_from(u64::from_le_bytes(*size)).unwrap());
            fields.push(format!("{}={}", str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap()));
            rest = after.strip_prefix(b"\n").unwrap();
        }
        assert_eq!(fields, expected);
    }

    #[test]
    fn an_entry_has_a_text_and_fields() {
        check(
            || tracing::warn!(list = "easyprivacy", error = %"half a body", "kept the last good copy"),
            &[
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=pixelsink",
                "MESSAGE=kept the last good copy list=easyprivacy error=half a body",
                "PIXELSINK_LIST=easyprivacy",
                "PIXELSINK_ERROR=half a body",
            ],
        );
        check(|| tracing::info!("ready"), &["PRIORITY=6", "SYSLOG_IDENTIFIER=pixelsink", "MESSAGE=ready"]);
    }

    #[test]
    fn what_strangers_say_forges_no_entry() {
        check(
            || tracing::error!(name = "a\nPRIORITY=0\u{1b}[31m", "two\nlines\r"),
            &[
                "PRIORITY=3",
                "SYSLOG_IDENTIFIER=pixelsink",
                "MESSAGE=two\nlines\\r name=a\\nPRIORITY=0\\u{1b}[31m",
                "PIXELSINK_NAME=a\\nPRIORITY=0\\u{1b}[31m",
            ],
        );
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "ä".repeat(VALUE_MAX);
        check(
            || tracing::debug!("{long}"),
            &["PRIORITY=7", "SYSLOG_IDENTIFIER=pixelsink", &format!("MESSAGE={}", "ä".repeat(VALUE_MAX / 2))],
        );
    }
}
