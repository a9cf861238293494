//! Credentials of systemd: the service is given them, and root by hand finds them where the unit loads them from.

use std::process::Command;

use super::*;
use crate::support::grafana::{Grafana, Version};
use crate::support::{installed, missing, run};

fn config(grafana: &Grafana) -> String {
    format!(
        "[grafana.main]\nurl = \"{}\"\nuser = \"admin\"\npassword = {{ credential = \"grafana\" }}\n{ONCE}\
         [[job]]\nname = \"g\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 3 }}\n",
        grafana.url()
    )
}

#[test]
fn root_finds_them_by_hand_and_who_does_not_is_told_where_they_were_looked_for() {
    let grafana = Grafana::start(Version::V7_5);
    let Some(keeper) = Keeper::new(&config(&grafana)) else { return };
    let folder = keeper.watchkeeper.folder().join("credentials");
    let file = folder.join("grafana");
    let told = format!("there is no {}", file.display());
    let failed = keeper.as_root(&["run-now", "g"]).expect(1);
    for said in
        [told.as_str(), "/etc/credstore/grafana", "credentials.conf", "CREDENTIALS_DIRECTORY is not set"]
    {
        assert!(failed.stdout.contains(said), "no {said:?} in {}", failed.stdout);
    }
    assert!(keeper.as_root(&["check"]).expect(3).stdout.contains(&told));

    fs::create_dir(&folder).unwrap();
    fs::write(&file, "admin\n").unwrap();
    mode(&file, 0o600);
    mode(&folder, 0o700);
    keeper.as_root(&["check", "--online"]).expect(0);
    keeper.as_root(&["run-now", "g"]).expect(0);
    keeper.as_root(&["restore", "g", "--yes"]).expect(0);
    // The user is not root, and was not given it.
    for bits in [0o700, 0o755] {
        mode(&folder, bits);
        let warned = keeper.run(&["check"]).expect(3).stdout;
        assert!(warned.contains("Permission denied") && warned.contains("credentials.conf"), "{warned}");
    }
    keeper.lacks(&["run-now", "g"], &["Permission denied", "credentials.conf"]);

    // As systemd gives it.
    let given = keeper.watchkeeper.state().join("given");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("grafana"), "admin\n").unwrap();
    let mut service = keeper.watchkeeper.command_by(USER, &[], &["run-now", "g"]);
    Output::from(service.env("CREDENTIALS_DIRECTORY", &given).output().unwrap()).expect(0);
}

#[test]
fn an_encrypted_one_is_decrypted_by_systemd() {
    if !installed("systemd-creds") {
        return missing("systemd-creds");
    }
    let grafana = Grafana::start(Version::V7_5);
    let Some(keeper) = Keeper::new(&config(&grafana)) else { return };
    let folder = keeper.watchkeeper.folder().join("credentials");
    fs::create_dir(&folder).unwrap();
    let (plain, encrypted) = (keeper.watchkeeper.folder().join("plain"), folder.join("grafana.cred"));
    fs::write(&plain, "admin\n").unwrap();
    let mut encrypt = Command::new("systemd-creds");
    encrypt.args(["encrypt", "--with-key=host", "--name=grafana"]).arg(&plain).arg(&encrypted);
    run(&mut encrypt);
    keeper.as_root(&["run-now", "g"]).expect(0);
    fs::write(&encrypted, "nonsense").unwrap();
    let failed = keeper.as_root(&["run-now", "g"]).expect(1);
    assert!(failed.stdout.contains("Cannot decrypt the credential in"), "{}", failed.stdout);
}

#[test]
fn the_unit_is_told_a_path_from_the_root_wherever_the_configuration_was_named_from() {
    let Some(keeper) = Keeper::new(&config(&Grafana::start(Version::V7_5))) else { return };
    let folder = keeper.watchkeeper.folder();
    for named in ["jobs.toml", "./jobs.toml"] {
        let mut check = Command::new(crate::support::program());
        let warned = check.current_dir(folder).args(["--config", named, "check"]).output().unwrap();
        let warned = Output::from(warned).expect(3).stdout;
        let line = format!("LoadCredential=grafana:{}/credentials/grafana ", folder.display());
        assert!(warned.contains(&line), "{named}: {warned}");
    }
}
