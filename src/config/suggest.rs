//! Suggestions for unknown keys.

use super::fragment::SECTIONS;
use crate::help::Problem;

/// systemd's folder for the credentials of the unit.
pub(super) const CREDENTIAL_STORE: &str = "/etc/credstore";

/// The systemd credential that holds the MQTT password.
pub(super) const PASSWORD_CREDENTIAL: &str = "mqtt-password";

/// The systemd credential that holds the key of `mqtt.client_cert`.
pub(super) const KEY_CREDENTIAL: &str = "mqtt-client-key";

/// Names under which people write secrets.
const SECRETS: [&str; 7] = ["password", "passwd", "passphrase", "pass", "secret", "token", "credential"];

/// Names under which people write the content of a private key.
const PRIVATE_KEYS: [&str; 3] = ["key", "private_key", "client_key_data"];

/// A section that there is none of.
pub(super) fn unknown_section(section: &str) -> Problem {
    let problem = Problem::new(format!("{section} is neither a section nor a key"));
    if let Some(problem) = secret(section, problem_with_secret(section)) {
        return problem;
    }
    let sections = SECTIONS.iter().map(|(name, _)| *name);
    // A key at the top level, without its section.
    let known = SECTIONS.iter().find(|(_, keys)| keys.contains(&section));
    match (known, nearest(section, sections.clone())) {
        (Some((name, _)), _) => problem.with_help(format!("did you mean `{name}.{section}`?")),
        (None, Some(near)) => problem.with_help(format!("did you mean `{near}`?")),
        (None, None) => {
            problem.with_help(format!("the sections are {}", sections.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// A key that its section has none of.
pub(super) fn unknown_key(section: &str, key: &str) -> Problem {
    let written = format!("{section}.{key}");
    if let Some(problem) = secret(key, problem_with_secret(&written)) {
        return problem;
    }
    let problem = Problem::new(format!("{written} is not a key"));
    let keys = SECTIONS.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| *keys);
    if let Some(near) = nearest(key, keys.iter().copied()) {
        return problem.with_help(format!("did you mean `{section}.{near}`?"));
    }
    let elsewhere = SECTIONS.iter().find(|(_, keys)| keys.contains(&key));
    if let Some((other, _)) = elsewhere {
        return problem.with_help(format!("did you mean `{other}.{key}`?"));
    }
    problem.with_help(format!("the keys of [{section}] are {}", keys.join(", ")))
}

/// A variable that names no key; `rest` is what follows `LECTERN_`.
pub(super) fn unknown_variable(rest: &str) -> Problem {
    let lower = rest.to_ascii_lowercase();
    let names =
        SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}_{key}")));
    let names: Vec<_> = names.collect();
    let key = lower.rsplit_once('_').map_or(&*lower, |(_, key)| key);
    if let Some(problem) = secret(key, problem_with_secret("it")) {
        return problem;
    }
    let problem = Problem::new("names no configuration key");
    match nearest(&lower, names.iter().map(String::as_str)) {
        Some(near) => problem.with_help(format!("did you mean `LECTERN_{}`?", near.to_ascii_uppercase())),
        None => {
            let sections: Vec<_> = SECTIONS.iter().map(|(name, _)| name.to_ascii_uppercase()).collect();
            problem.with_help(format!("the sections are {}", sections.join(", ")))
        }
    }
}

fn problem_with_secret(written: &str) -> Problem {
    Problem::new(format!("{written} is not a key: secrets do not belong in the configuration"))
}

/// Where a secret belongs, if this is the name of one.
fn secret(key: &str, problem: Problem) -> Option<Problem> {
    // A mistyped key too, if it is long enough to be unambiguous.
    if SECRETS.iter().any(|name| *name == key || (name.len() >= 6 && distance(name, key) <= 1)) {
        return Some(problem.with_help(format!(
            "put the password into {CREDENTIAL_STORE}/lectern.{PASSWORD_CREDENTIAL} (owner root, mode 0600), or name a \
             file of mode 0600 in mqtt.password_file"
        )));
    }
    PRIVATE_KEYS.contains(&key).then(|| {
        problem.with_help(format!(
            "put the private key into {CREDENTIAL_STORE}/lectern.{KEY_CREDENTIAL} (owner root, mode 0600), or name a file \
             of mode 0600 in mqtt.client_key"
        ))
    })
}

/// The name that is written most alike, if one is near enough to be meant.
fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('-', "_");
    // Short for it, as `user` for `username`, or longer, as `camera_width` for `width`.
    let within = |name: &str| {
        written.len() >= 3 && name.len() >= 3 && (name.contains(&*written) || written.contains(name))
    };
    names
        .map(|name| (distance(&written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4 || within(name))
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::help::Help;

    #[test]
    fn distances_count_the_mistakes_of_typing() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("rate_hz", "rate_hz", 0),
            ("raet_hz", "rate_hz", 1),
            ("ratehz", "rate_hz", 1),
            ("lead", "deal", 2),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested() {
        for (section, key, expected) in [
            ("camera", "devcie", "did you mean `camera.device`?"),
            ("analysis", "rate", "did you mean `analysis.rate_hz`?"),
            ("analysis", "min-face-px", "did you mean `analysis.min_face_px`?"),
            ("camera", "rate_hz", "did you mean `analysis.rate_hz`?"),
            ("mqtt", "user", "did you mean `mqtt.username`?"),
            ("window", "length", "the keys of [window] are seconds, allow_short"),
        ] {
            assert_eq!(unknown_key(section, key).help().unwrap(), expected);
        }
        for (section, expected) in [
            ("windows", "did you mean `window`?"),
            ("rate_hz", "did you mean `analysis.rate_hz`?"),
            ("xyzzy", "the sections are device, deployment, camera, analysis, window, mqtt, spool"),
        ] {
            assert_eq!(unknown_section(section).help().unwrap(), expected);
        }
        assert_eq!(unknown_variable("CAMRA_WIDTH").help().unwrap(), "did you mean `LECTERN_CAMERA_WIDTH`?");
    }

    #[test]
    fn a_secret_is_shown_its_place() {
        for problem in
            [unknown_key("mqtt", "password"), unknown_section("pasword"), unknown_variable("MQTT_PASSWORD")]
        {
            assert!(problem.help().unwrap().contains("/etc/credstore/lectern.mqtt-password"), "{problem:?}");
        }
        assert!(unknown_key("mqtt", "private_key").help().unwrap().contains("lectern.mqtt-client-key"));
    }
}
