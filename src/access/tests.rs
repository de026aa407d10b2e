use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

const PASSWORD: &str = "correct horse battery";

/// Its wall clock goes only when it is told to.
#[derive(Default)]
struct Hands(AtomicI64);

impl Hands {
    fn turn(&self, days: i64) {
        self.0.fetch_add(days * 86_400, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

struct Door {
    directory: TempDir,
    clock: Arc<Hands>,
    access: Arc<Access>,
}

impl Door {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::<Hands>::default();
        let access = Access::open(Some(directory.path()), Arc::clone(&clock) as _);
        Self { directory, clock, access }
    }

    async fn with_password() -> Self {
        let door = Self::new();
        door.access.set_password(PASSWORD.to_owned()).await.unwrap();
        door
    }

    fn restart(&mut self) {
        self.access = Access::open(Some(self.directory.path()), Arc::clone(&self.clock) as _);
    }

    async fn log_in(&self, host: u8, password: &str) -> Result<Secret, Denied> {
        self.access.log_in([192, 168, 1, host].into(), password.to_owned()).await
    }
}

#[tokio::test]
async fn the_first_password_takes_the_code_and_the_code_is_good_once() {
    let door = Door::new();
    let from = [192, 168, 1, 5].into();
    let code = door.access.code().unwrap();
    let set_up = |code: &str, password: &str| {
        let (access, code, password) = (Arc::clone(&door.access), code.to_owned(), password.to_owned());
        async move { access.set_up(from, &code, password).await }
    };
    assert_eq!(set_up("AAAA-AAAA", PASSWORD).await, Err(Denied::WrongCode));
    assert_eq!(set_up(&code, "short").await, Err(Denied::TooShort));
    assert_eq!(door.access.lock(), Lock::Unset);
    let session = set_up(&code, PASSWORD).await.unwrap();
    assert!(door.access.session(session.reveal()).is_some());
    assert_eq!((door.access.lock(), door.access.code()), (Lock::Set, None));
    assert_eq!(set_up(&code, PASSWORD).await, Err(Denied::AlreadySet));
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_not_thirty_idle_days() {
    let mut door = Door::with_password().await;
    let session = door.log_in(1, PASSWORD).await.unwrap();
    door.restart();
    for _ in 0..3 {
        door.clock.turn(29);
        assert!(door.access.session(session.reveal()).unwrap().is_prolonged);
        assert!(!door.access.session(session.reveal()).unwrap().is_prolonged);
    }
    door.clock.turn(30);
    assert_eq!(door.access.session(session.reveal()), None);
    assert_eq!(door.access.sessions(), 0);
}

#[tokio::test]
async fn logging_out_ends_one_session_or_all_and_what_runs_for_them() {
    let mut door = Door::with_password().await;
    let one = door.log_in(1, PASSWORD).await.unwrap();
    let other = door.log_in(1, PASSWORD).await.unwrap();
    let running = door.access.revocation();
    door.access.log_out(one.reveal()).await;
    assert!(running.is_cancelled() && !door.access.revocation().is_cancelled());
    assert!(door.access.session(one.reveal()).is_none() && door.access.session(other.reveal()).is_some());
    assert_eq!(door.access.end_sessions().await, 1);
    door.restart();
    assert!(door.access.session(other.reveal()).is_none());
    // A new password logs everybody out as well.
    let session = door.log_in(1, PASSWORD).await.unwrap();
    door.access.set_password("another password".to_owned()).await.unwrap();
    assert!(door.access.session(session.reveal()).is_none());
    assert_eq!(door.log_in(1, PASSWORD).await, Err(Denied::WrongPassword));
}

#[tokio::test]
async fn who_guesses_waits_and_another_address_does_not() {
    let door = Door::with_password().await;
    for _ in 0..3 {
        assert_eq!(door.log_in(1, "a guess, and a wrong one").await, Err(Denied::WrongPassword));
    }
    // The third one was the last for free.
    assert!(matches!(door.log_in(1, PASSWORD).await, Err(Denied::TooOften(_))));
    assert!(door.log_in(2, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn tokens_are_kept_by_their_hash_and_revoked() {
    let mut door = Door::with_password().await;
    let read = door.access.add_token("grafana", Scope::Read).await.unwrap();
    let write = door.access.add_token("home assistant", Scope::Write).await.unwrap();
    assert_eq!(
        door.access.add_token("grafana", Scope::Write).await,
        Err(Denied::NameTaken("grafana".to_owned()))
    );
    for name in ["", "  ", "a\nb", &"a".repeat(64)] {
        assert_eq!(door.access.add_token(name, Scope::Read).await, Err(Denied::BadName), "{name:?}");
    }
    door.restart();
    assert_eq!(door.access.token(read.reveal()), Some(Scope::Read));
    assert_eq!(door.access.token(write.reveal()), Some(Scope::Write));
    assert_eq!(door.access.token("pixelsink_0"), None);
    door.access.revoke_token("grafana").await.unwrap();
    assert_eq!(door.access.token(read.reveal()), None);
    assert_eq!(door.access.revoke_token("grafana").await, Err(Denied::UnknownToken("grafana".to_owned())));
}

#[tokio::test]
async fn only_the_owner_reads_what_is_kept_and_no_secret_is_in_it() {
    let door = Door::with_password().await;
    let session = door.log_in(1, PASSWORD).await.unwrap();
    let token = door.access.add_token("t", Scope::Read).await.unwrap();
    for file in ["access.json", "sessions.json"] {
        let path = door.directory.path().join(file);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        let text = std::fs::read_to_string(&path).unwrap();
        for secret in [PASSWORD, session.reveal(), token.reveal()] {
            assert!(!text.contains(secret), "{file}: {text}");
        }
    }
    let text = std::fs::read_to_string(door.directory.path().join("access.json")).unwrap();
    assert!(text.contains("$argon2id$"), "{text}");
}

/// What can't be used keeps everybody out until a new password is set on the machine itself.
#[track_caller]
fn check_broken(spoil: impl FnOnce(&Path)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut door = Door::with_password().await;
        let session = door.log_in(1, PASSWORD).await.unwrap();
        let token = door.access.add_token("t", Scope::Write).await.unwrap();
        spoil(&door.directory.path().join("access.json"));
        door.restart();
        let Lock::Broken(problem) = door.access.lock() else { panic!("{:?}", door.access.lock()) };
        assert!(problem.contains("access.json") && problem.contains("pixelsink passwd"), "{problem}");
        assert_eq!(door.access.code(), None);
        assert!(door.access.session(session.reveal()).is_none());
        assert_eq!(door.access.token(token.reveal()), None);
        assert!(matches!(door.log_in(1, PASSWORD).await, Err(Denied::Broken(_))));
        assert!(matches!(door.access.add_token("u", Scope::Read).await, Err(Denied::Broken(_))));
        door.access.set_password("another password".to_owned()).await.unwrap();
        assert_eq!(door.access.lock(), Lock::Set);
        assert!(door.log_in(1, "another password").await.is_ok());
        assert!(door.directory.path().join("access.json.damaged").exists());
        door.restart();
        assert!(door.log_in(2, "another password").await.is_ok());
    });
}

#[test]
fn a_damaged_file_is_closed_and_not_open() {
    check_broken(|file| std::fs::write(file, "").unwrap());
    check_broken(|file| std::fs::write(file, "{\"version\":1,\"password\":null").unwrap());
    check_broken(|file| std::fs::write(file, "{\"version\":2,\"password\":null,\"tokens\":[]}").unwrap());
    check_broken(|file| {
        std::fs::write(file, "{\"version\":1,\"password\":\"secret\",\"tokens\":[]}").unwrap();
    });
    check_broken(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, text.replace("\"write\"", "\"admin\"")).unwrap();
    });
    check_broken(|file| {
        std::fs::remove_file(file).unwrap();
        std::fs::create_dir(file).unwrap();
    });
}

#[tokio::test]
async fn what_the_disk_does_not_take_changes_nothing() {
    let door = Door::new();
    // Root may write anywhere, so the directory goes altogether.
    std::fs::remove_dir_all(door.directory.path()).unwrap();
    assert!(matches!(door.access.set_password(PASSWORD.to_owned()).await, Err(Denied::NotKept(_))));
    assert!(matches!(door.access.add_token("t", Scope::Read).await, Err(Denied::NotKept(_))));
    assert_eq!((door.access.lock(), door.access.tokens().len()), (Lock::Unset, 0));
}
