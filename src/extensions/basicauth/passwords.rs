//! Users with their hashes, and checks of passwords that neither block the runtime nor take the whole machine.

use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use watershed_pipeline::AuthError;

/// Users in one file.
const USERS_MAX: usize = 10_000;
/// The highest cost of a hash; a check takes about a second then, and doubles with each further one.
const COST_MAX: u32 = 14;
/// Requests that wait for a check, those that are checked included.
const WAITING_MAX: usize = 64;
/// Passwords that were right and are remembered.
const REMEMBERED_MAX: usize = 1024;

/// Users with the hashes of their passwords.
#[derive(Default)]
pub(super) struct Users {
    hashes: HashMap<String, Arc<str>>,
    /// Checked for users that are not there, so that they cannot be told by the time that an answer takes.
    decoy: Option<Arc<str>>,
    remembered: Mutex<HashSet<[u8; 32]>>,
    salt: [u8; 32],
}

impl Users {
    /// Reads texts with lines `user:hash`; `#` begins a comment. The last line of a user counts.
    ///
    /// # Errors
    /// Names the line and the user, and nothing of the hash.
    pub(super) fn parse(texts: [&str; 2]) -> Result<Self, String> {
        let mut users = Self::default();
        let filled = ring::default_provider().secure_random.fill(&mut users.salt);
        filled.map_err(|_| "cannot be kept safe: the system gives no random numbers".to_owned())?;
        let lines = texts.into_iter().flat_map(|text| text.lines().enumerate());
        for (number, line) in lines.map(|(number, line)| (number + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line
                .split_once(':')
                .filter(|(user, _)| !user.is_empty())
                .ok_or_else(|| format!("has a line {number} that is not made of a user, `:` and a hash"))?;
            check_hash(hash).map_err(|problem| format!("has for the user `{user}` {problem}"))?;
            let hash: Arc<str> = hash.into();
            users.decoy.get_or_insert_with(|| Arc::clone(&hash));
            users.hashes.insert(user.to_owned(), hash);
        }
        if users.hashes.len() > USERS_MAX {
            return Err(format!("has {} users; at most {USERS_MAX}", users.hashes.len()));
        }
        Ok(users)
    }

    /// Fails if there is no user, which would let nobody in and is more likely a mistake.
    pub(super) fn or_nobody(self) -> Result<Self, String> {
        if self.hashes.is_empty() {
            return Err("has no user; add lines as `htpasswd -nB USER` prints them".to_owned());
        }
        Ok(self)
    }

    /// What a right password is remembered by. The salt is of this process, so that the hash is of no use elsewhere.
    fn mark(&self, user: &str, password: &str) -> [u8; 32] {
        let length = (user.len() as u64).to_le_bytes();
        let parts: [&[u8]; 4] = [&self.salt, &length, user.as_bytes(), password.as_bytes()];
        let hasher = parts.into_iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part));
        hasher.finalize().into()
    }

    fn remembers(&self, mark: &[u8; 32]) -> bool {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            // Each will be checked once more, which is rare and simple.
            remembered.clear();
        }
        remembered.insert(mark);
    }
}

fn check_hash(hash: &str) -> Result<(), String> {
    let known = [
        ("$apr1$", "an MD5"),
        ("{SHA}", "a SHA-1"),
        ("$1$", "an MD5"),
        ("$5$", "a SHA-256 crypt"),
        ("$6$", "a SHA-512 crypt"),
    ];
    if let Some((_, kind)) = known.iter().find(|(start, _)| hash.starts_with(start)) {
        return Err(format!("{kind} hash, which is guessed too fast; make one with `htpasswd -nB`"));
    }
    let parts = bcrypt::HashParts::from_str(hash).ok();
    let parts = parts.filter(|parts| bcrypt::BASE_64.decode(parts.get_salt()).is_ok());
    let Some(parts) = parts else {
        return Err("no bcrypt hash; make one with `htpasswd -nB`".to_owned());
    };
    if !(4..=COST_MAX).contains(&parts.get_cost()) {
        return Err(format!("a bcrypt hash of cost {}; use one from 4 to {COST_MAX}", parts.get_cost()));
    }
    Ok(())
}

/// Runs checks outside of the runtime's threads, a few at a time.
pub(super) struct Checks {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Checks {
    /// Lets half of the cores check, and at least one.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let running = Arc::new(Semaphore::new((cores / 2).max(1)));
        Self { waiting: Arc::new(Semaphore::new(WAITING_MAX)), running }
    }

    /// Whether the password is the user's.
    ///
    /// # Errors
    /// So many checks wait that this one cannot.
    pub(super) async fn check(
        &self,
        users: Arc<Users>,
        user: &str,
        password: &str,
    ) -> Result<bool, AuthError> {
        let mark = users.mark(user, password);
        if users.remembers(&mark) {
            return Ok(true);
        }
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| AuthError::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| AuthError::Busy)?;
        // Several requests of one sender may have waited for the same answer.
        if users.remembers(&mark) {
            return Ok(true);
        }
        let known = users.hashes.get(user);
        let is_known = known.is_some();
        let Some(hash) = known.or(users.decoy.as_ref()).cloned() else { return Ok(false) };
        let password = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            // Held here, since the request may be given up while this runs on.
            let _held = (place, turn);
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let is_right = checked.await.unwrap_or(false) && is_known;
        if is_right {
            users.remember(mark);
        }
        Ok(is_right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let problem = Users::parse([text, ""]).and_then(Users::or_nobody).err().unwrap();
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn hashes_that_are_guessed_too_fast_are_refused() {
        check_refused(
            "ada:$apr1$hunter2$abc",
            "has for the user `ada` an MD5 hash, which is guessed too fast",
        );
        check_refused("ada:{SHA}hunter2", "a SHA-1 hash");
        check_refused("ada:hunter2", "no bcrypt hash; make one with `htpasswd -nB`");
        check_refused(&format!("ada:{}", hash("a").replace("$04$", "$31$")), "a bcrypt hash of cost 31");
        check_refused("# nobody\n", "has no user");
        check_refused("hunter2", "has a line 1 that is not made of a user");
    }

    #[tokio::test]
    async fn more_checks_than_may_wait_are_told_to_come_again() {
        let users = Arc::new(Users::parse([&format!("ada:{}", hash("right")), ""]).unwrap());
        let checks = Checks::new();
        let all_places = checks.waiting.clone().try_acquire_many_owned(WAITING_MAX as u32).unwrap();
        assert_eq!(checks.check(users.clone(), "ada", "right").await, Err(AuthError::Busy));
        drop(all_places);
        assert_eq!(checks.check(users.clone(), "ada", "right").await, Ok(true));
        let _all_places = checks.waiting.clone().try_acquire_many_owned(WAITING_MAX as u32).unwrap();
        // What was right before needs no check.
        assert_eq!(checks.check(users.clone(), "ada", "right").await, Ok(true));
        assert_eq!(checks.check(users, "ada", "wrong").await, Err(AuthError::Busy));
    }

    #[tokio::test]
    async fn hashes_of_other_programs_are_understood() {
        // A test vector of crypt_blowfish, under each of the prefixes that are in use.
        for prefix in ["2a", "2b", "2y"] {
            let line = format!("ada:${prefix}$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
            let users = Arc::new(Users::parse([&line, ""]).unwrap());
            assert_eq!(Checks::new().check(users, "ada", "U*U").await, Ok(true), "{prefix}");
        }
    }

    #[test]
    fn no_more_passwords_are_remembered_than_allowed() {
        let users = Users::parse([&format!("ada:{}", hash("right")), ""]).unwrap();
        for number in 0..=REMEMBERED_MAX {
            users.remember(users.mark("ada", &number.to_string()));
        }
        assert!(users.remembered.lock().unwrap().len() <= REMEMBERED_MAX);
        assert_ne!(users.mark("ada", "b"), users.mark("adab", ""));
    }
}
