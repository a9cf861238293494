//! Files that are wrong, each with all that is said of it.

use super::*;

const JOB_WITHOUT_KEEP: &str = "[prometheus.main]\nurl = \"http://h:9090\"\n\
    [[job]]\nname = \"a\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n";
const CHECK: &str = "[prometheus.main]\nurl = \"http://h:9090\"\n\
    [[job]]\nname = \"v\"\nkind = \"verify-deployment\"\n[[job.check]]\n";
const GRAFANA: &str = "[grafana.main]\nurl = \"http://h:3000\"\n\
    [[job]]\nname = \"g\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = { last = 7 }\n";

/// What the file starts with, what follows, and all problems of it.
#[rustfmt::skip]
const BAD: &[(&str, &str, &[&str])] = &[
    (NOTHING, "[[job]]\nname = \"conf-before-restore\"\nkind = \"files-backup\"\npaths = [\"/a\"]\nkeep = { last = 1 }", &[r#"2:8: a job cannot be called "conf-before-restore" -> restores of the job "conf" keep there what was there before them; choose another name"#]),
    (NOTHING, "shedule = 1", &[r#"1:1: unknown key "shedule" -> known here: timezone, state_dir, backup_dir, reserve, max_concurrent, history_keep, history_runs, prometheus, grafana, alertmanager, application, metrics, webhook, defaults, job, notify, escalation, response"#]),
    (NOTHING, r#"colour = "red""#, &[r#"1:1: unknown key "colour" -> known here: timezone, state_dir, backup_dir, reserve, max_concurrent, history_keep, history_runs, prometheus, grafana, alertmanager, application, metrics, webhook, defaults, job, notify, escalation, response"#]),
    (NOTHING, r#"timezone = "Europe/Berln""#, &[r#"1:12: unknown time zone "Europe/Berln" -> did you mean "Europe/Berlin"?"#]),
    (NOTHING, r#"timezone = "Middle-earth""#, &[r#"1:12: unknown time zone "Middle-earth" -> such as "Europe/Berlin" or "UTC""#]),
    (NOTHING, "timezone = 3", &[r#"1:12: "timezone" must be a string, not an integer"#]),
    (NOTHING, r#"state_dir = "var/lib""#, &[r#"1:13: "state_dir" must be an absolute path -> start it with /"#]),
    (NOTHING, r#"state_dir = "/a/../b""#, &[r#"1:13: "state_dir" must not have ".." in it"#]),
    (NOTHING, r#"state_dir = "/a"
backup_dir = "/a/""#, &[r#"2:1: "state_dir" and "backup_dir" are the same folder -> each needs its own"#]),
    (NOTHING, r#"backup_dir = "/a"
state_dir = "/a/state""#, &[r#"1:1: "state_dir" is inside "backup_dir" -> every folder in backup_dir is a job's; put state_dir beside it"#]),
    (NOTHING, r#"reserve = "16MB""#, &[r#"1:11: "reserve" is no size: "16MB" -> such as "16MiB" or "1GiB"; "0" for none"#]),
    (NOTHING, "reserve = 0", &[r#"1:11: "reserve" must be a string, not an integer"#]),
    (NOTHING, "history_runs = 99", &[r#"1:16: "history_runs" must be a whole number from 100 to 100000000"#]),
    (NOTHING, "max_concurrent = 0", &[r#"1:18: "max_concurrent" must be a whole number from 1 to 64"#]),
    (NOTHING, "max_concurrent = 2.5", &[r#"1:18: "max_concurrent" must be a whole number from 1 to 64, not a float"#]),
    (NOTHING, r#"max_concurrent = "2""#, &[r#"1:18: "max_concurrent" must be a whole number from 1 to 64, not a string"#]),
    (NOTHING, r#"prometheus = "http://h""#, &[r#"1:14: "prometheus" must be a table, not a string"#]),
    (NOTHING, r#"[prometheus]
url = "http://h""#, &["2:7: prometheus needs a name -> write [prometheus.main] over its keys"]),
    (NOTHING, r#"[prometheus.Main]
url = "http://h""#, &[r#"1:13: "Main" is not a name: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit -> write "main""#]),
    (NOTHING, "[prometheus.main]", &[r#"1:1: [prometheus.main] has no "url" -> add url = "http://localhost:9090""#]),
    (NOTHING, r#"[prometheus.main]
url = "localhost:9090""#, &[r#"2:7: "url" must be an http or https URL -> write "http://localhost:9090""#]),
    (NOTHING, r#"[prometheus.main]
url = "ftp://h/""#, &[r#"2:7: "url" must be an http or https URL -> "ftp" is not a scheme of the web"#]),
    (NOTHING, r#"[prometheus.main]
url = "http://admin:hunter2@h""#, &[r#"2:7: "url" must not hold a user or password -> use the user and password keys"#]),
    (NOTHING, r#"[prometheus.main]
url = "http://h/?token=hunter2""#, &[r#"2:7: "url" must not have a query or fragment -> write it up to the path only"#]),
    (NOTHING, r#"[prometheus.main]
url = "http://""#, &[r#"2:7: "url" must be an http or https URL -> empty host"#]),
    (NOTHING, r#"[prometheus.main]
url = """#, &[r#"2:7: "url" is empty"#]),
    (TARGET, r#"container = "p"
service = { unit = "prometheus.service" }"#, &[r#"4:1: [prometheus.main] has both "container" and "service" -> a container is stopped and started through Docker; remove one of the two"#]),
    (TARGET, r#"data_dir = "data""#, &[r#"3:12: "data_dir" must be an absolute path -> start it with /"#]),
    (TARGET, r#"service = { stop = [], start = ["x"] }"#, &[r#"3:20: "stop" is empty: it needs at least a program"#]),
    (TARGET, r#"service = { stop = ["x"] }"#, &[r#"3:11: "service" needs both "stop" and "start" -> write { unit = "prometheus.service" } or { stop = ["program", "argument"], start = ["program"] }"#]),
    (TARGET, r#"service = { unit = "x", stop = ["x"] }"#, &[r#"3:11: "service" has both "unit" and commands -> write { unit = "prometheus.service" } or { stop = ["program", "argument"], start = ["program"] }"#]),
    (TARGET, "service = {}", &[r#"3:11: "service" says neither "unit" nor "stop" and "start" -> write { unit = "prometheus.service" } or { stop = ["program", "argument"], start = ["program"] }"#]),
    (TARGET, r#"service = { stop = "systemctl stop x", start = ["x", 1] }"#, &[r#"3:20: "stop" must be a list of a program and its arguments, not a string"#, r#"3:54: each of "start" must be a string, not an integer"#]),
    (TARGET, r#"user = "a""#, &[r#"3:1: [prometheus.main] has "user" without "password" -> add password = { env = "NAME" }"#]),
    (TARGET, r#"password = { env = "P" }"#, &[r#"3:1: [prometheus.main] has "password" without "user" -> add user = "…""#]),
    (TARGET, r#"user = "a"
password = "hunter2""#, &[r#"4:12: "password": a secret as plain text needs { plain = "…" } -> better { env = "NAME" }, { file = "/path" } or { credential = "name" }"#]),
    (NOTHING, r#"metrics = "127.0.0.1:9469""#, &[r#"1:11: "metrics" must be a table, not a string"#]),
    (NOTHING, "[metrics]\nlisten = 9469", &[r#"2:10: "listen" must be a string, not an integer"#]),
    (NOTHING, "[metrics]\nlisten = \"localhost:9469\"", &[r#"2:10: "listen" must be an IP address and a port -> write "127.0.0.1:9469""#]),
    (NOTHING, "[metrics]\nlisten = \":9469\"", &[r#"2:10: "listen" must be an IP address and a port -> write "0.0.0.0:9469" for all addresses of this host"#]),
    (NOTHING, "[metrics]\nlisten = \"127.0.0.1:0\"", &[r#"2:10: "listen" must be an IP address and a port -> such as "127.0.0.1:9469" or "[::1]:9469""#]),
    (NOTHING, "[metrics]\nlisten = \"0.0.0.0:9469\"", &[r#"2:10: others reach 0.0.0.0:9469, and [metrics] has no "token" -> add token = { env = "NAME" }, or listen on this host alone: "127.0.0.1:9469""#]),
    (NOTHING, "[metrics]\nlisten = \"[2001:db8::1]:9469\"", &[r#"2:10: others reach [2001:db8::1]:9469, and [metrics] has no "token" -> add token = { env = "NAME" }, or listen on this host alone: "127.0.0.1:9469""#]),
    (NOTHING, "[metrics]\ntoken = { env = \"T\" }", &[r#"2:9: [metrics] has "token" without "listen" -> add listen = "127.0.0.1:9469", or remove it"#]),
    (NOTHING, "[metrics]\ntextfile = \"/x/watchkeeper.txt\"", &[r#"2:12: node_exporter reads only files whose name ends with .prom -> write "/x/watchkeeper.prom""#]),
    (NOTHING, "[metrics]\ntextfile = \"watchkeeper.prom\"", &[r#"2:12: "textfile" must be an absolute path -> start it with /"#]),
    (NOTHING, "[metrics]\nport = 9469", &[r#"2:1: unknown key "port" -> known here: listen, token, textfile"#]),
    (TARGET, r#"user = "a"
token = { env = "T" }"#, &[r#"4:1: [prometheus.main] has both "token" and "user" -> a request proves itself in one way; remove one of the two"#]),
    (TARGET, r#"token = { value = "hunter2" }"#, &[r#"3:9: "token" does not say where the secret is -> write { env = "NAME" }, { file = "/path" } or { credential = "name" }"#, r#"3:11: unknown key "value" -> known here: env, file, credential, plain"#]),
    (TARGET, r#"token = { env = "T", plain = "hunter2" }"#, &[r#"3:9: "token" says more than one place -> write one of { env = "NAME" }, { file = "/path" } or { credential = "name" }"#]),
    (TARGET, r#"pasword = "hunter2""#, &[r#"3:1: unknown key "pasword" -> did you mean "password"?"#]),
    (TARGET, r#"token = { file = "secret" }"#, &[r#"3:18: "file" must be an absolute path -> start it with /"#]),
    (TARGET, r#"cert_file = "/c""#, &[r#"3:1: [prometheus.main] has "cert_file" without "key_file" -> add key_file = "/path""#]),
    (TARGET, r#"insecure = "yes""#, &[r#"3:12: "insecure" must be true or false, not a string"#]),
    (NOTHING, r#"[application.x]
url = "http://h"
health = "health"
database = "memory.db""#, &[r#"3:10: "health" must be a path that starts with /"#, r#"4:12: "database" must be an absolute path -> start it with /"#]),
    (NOTHING, "job = 1", &[r#"1:7: "job" must be written as [[job]], not an integer"#]),
    (NOTHING, r#"[job]
name = "a""#, &[r#"1:1: "job" must be written as [[job]], not a table"#]),
    (TARGET, "[[job]]", &[r#"3:1: job 1 has no "name" -> add name = "prometheus-snapshot""#, r#"3:1: job 1 has no "kind" -> add kind = "prometheus-snapshot""#]),
    (TARGET, r#"[[job]]
name = "My Job"
kind = "prometheus-snapshots""#, &[r#"4:8: "My Job" is not a name: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit -> write "my-job""#, r#"5:8: unknown kind "prometheus-snapshots" -> did you mean "prometheus-snapshot"?"#]),
    (TARGET, r#"[[job]]
name = "a"
kind = "grafana-export""#, &[r#"3:1: job "a" has no "grafana" -> add grafana = "main""#, r#"3:1: job "a" has no "keep" -> add keep = { last = 7 }"#]),
    (GRAFANA, r#"include = ["annotation", "dashboards"]
exclude = ["dashbords", "dashboards/["]
requests = 0"#, &[
        r#"8:12: "annotation" is nothing that could be included -> write "annotations", "snapshots" or "contact-point-secrets""#,
        r#"8:26: "dashboards" is exported anyway -> "include" adds what is not exported otherwise: write "annotations", "snapshots" or "contact-point-secrets""#,
        r#"9:12: "dashbords" is no type of object in a Grafana -> did you mean "dashboards"?"#,
        r#"9:25: "[" is no pattern: unclosed character class; missing ']' -> such as "dashboards/scratch-*""#,
        r#"10:12: "requests" must be a whole number from 1 to 64"#,
    ]),
    (GRAFANA, r#"[[job]]
name = "b"
kind = "grafana-export"
grafana = "mian"
keep = { last = 1 }"#, &[r#"11:11: there is no [grafana.mian] -> did you mean "main"?"#]),
    (TARGET, r#"[[job]]
name = "a"
kind = "block-cleanup"
prometheus = "mian"
older_than = "0s"
max_share = 1.5
keep = { last = 1 }"#, &[r#"6:14: there is no [prometheus.mian] -> did you mean "main"?"#, r#"7:14: "older_than" must be more than 0"#, r#"8:13: "max_share" must be a number above 0 and up to 1 -> 0.5 is a half"#, r#"9:1: unknown key "keep" -> known here: name, timezone, schedule, after_outcome, after, enabled, timeout, retries, on_missed, max_age, on_overlap, jitter, hooks, anomalies, kind, prometheus, older_than, require_backup, max_share, restart"#]),
    (JOB, r#"[[job]]
name = "b"
kind = "block-cleanup"
prometheus = "main"
require_backup = true"#, &[r#"12:18: "require_backup" is the name of a job, or false -> remove it: a backup of any job is required then; or name the job"#]),
    (JOB, r#"[[job]]
name = "b"
kind = "block-cleanup"
prometheus = "main"
require_backup = "b""#, &[r#"12:18: no job "b" backs [prometheus.main] up -> did you mean "a"?"#]),
    (TARGET, r#"[[job]]
name = "a"
kind = "sqlite-backup""#, &[r#"3:1: job "a" does not say which database -> write application = "NAME", or database = "/path/on/this/host""#, r#"3:1: job "a" has no "keep" -> add keep = { last = 7 }"#]),
    (TARGET, r#"[application.app]
url = "http://h"
container = "c"
service = { unit = "u" }
[[job]]
name = "a"
kind = "close-stale-sessions"
application = "app"
keep = { last = 1 }
start_format = "text"
start_zone = "Mars"
max_rows = 0
older_than = "0s""#, &[r#"6:1: [application.app] has both "container" and "service" -> a container is stopped and started through Docker; remove one of the two"#, r#"10:15: [application.app] has no "database" -> add database = "/path/to/it" there: a path inside its container, or on this host"#, r#"12:16: "start_format" cannot be "text" -> write "iso" or "unix""#, r#"13:14: unknown time zone "Mars" -> such as "Europe/Berlin" or "UTC""#, r#"14:12: "max_rows" must be a whole number from 1 to 100000"#, r#"15:14: "older_than" must be more than 0"#]),
    (TARGET, r#"[[job]]
name = "a"
kind = "sqlite-backup"
application = "app"
database = "a.db"
keep = { last = 1 }"#, &[r#"3:1: job "a" names more than one database -> write application = "NAME", or database = "/path/on/this/host""#]),
    (CHECK, "", &[r#"6:1: check 1 of job "v" has no "type" -> add type = "http""#]),
    (CHECK, r#"type = "htpp""#, &[r#"7:8: unknown type of a check "htpp" -> did you mean "http"?"#]),
    (CHECK, r#"type = "http""#, &[r#"6:1: check 1 of job "v" does not say which server -> name one of application, prometheus, grafana, alertmanager = "NAME", or url = "http://…""#]),
    (CHECK, r#"type = "http"
prometheus = "main"
url = "http://h"
path = "health"
status = 20"#, &[r#"6:1: check 1 of job "v" names more than one server -> name one of application, prometheus, grafana, alertmanager = "NAME", or url = "http://…""#, r#"10:8: "path" must start with / -> write "/health""#, r#"11:10: "status" must be a whole number from 100 to 599"#]),
    (CHECK, r#"type = "http"
url = "http://u:hunter2@h""#, &[r#"8:7: "url" must not hold a user or password -> name a target that has user and password"#]),
    (CHECK, r#"type = "http"
prometheus = "main"
json = { pointer = "a.b", equals = [1] }"#, &[r#"9:20: "pointer" must start with / -> write "/a/b""#, r#"9:36: "equals" must be a string, a number, true or false, not an array"#]),
    (CHECK, r#"type = "metric"
application = "app""#, &[r#"6:1: check 1 of job "v" has no "metric" -> add metric = "up""#, "8:15: there is no [application.app] -> add a [application.main] with its url"]),
    (CHECK, r#"type = "promql"
prometheus = "mian"
query = "up"
above = 1
below = 2"#, &[r#"8:14: there is no [prometheus.mian] -> did you mean "main"?"#, r#"11:9: check 1 of job "v" says more than one limit -> write one of above, at_least, below, at_most, equals = NUMBER"#]),
    (CHECK, r#"type = "promql"
prometheus = "main"
query = "up"
above = nan"#, &[r#"10:9: "above" must be a number"#]),
    (CHECK, r#"type = "disk"
path = "/"
free = "10""#, &[r#"9:8: "free" is no room on a disk: "10" -> such as "10%", "500MiB" or "5GiB""#]),
    (CHECK, r#"type = "certificate"
url = "http://h""#, &["8:1: only https has a certificate -> write https://…"]),
    (CHECK, r#"type = "backup"
job = "v"
max_age = "0s""#, &[r#"8:7: job "v" makes no backups"#, r#"9:11: "max_age" must be more than 0"#]),
    (CHECK, r#"type = "targets"
prometheus = "main"
[[job.check]]
type = "targets"
prometheus = "main"
colour = 1"#, &[r#"9:1: job "v" has another check "prometheus.main targets" -> give each its own "name""#, r#"12:1: unknown key "colour" -> known here: name, timeout, type, prometheus, at_least"#]),
    (NOTHING, r#"[[job]]
name = "v"
kind = "verify-deployment""#, &[r#"1:1: job "v" has nothing to look at -> add a [prometheus.main], or a [[job.check]]"#]),
    (COMMAND, "", &[r#"1:1: job "c" has no "command" -> add command = ["program", "argument"]"#]),
    (COMMAND, r#"command = "ls -l""#, &[r#"4:11: "command" must be a list of a program and its arguments -> write ["ls", "-l"], or add shell = true"#]),
    (COMMAND, "command = []", &[r#"4:11: "command" is empty: it needs at least a program"#]),
    (COMMAND, r#"shell = true
command = ["ls", "-l"]"#, &[r#"5:11: with shell = true, "command" is one text for the shell -> write it as one text"#]),
    (COMMAND, r#"command = ["ls"]
env = { "A=B" = "x", C = 1 }
directory = "tmp"
user = "a b"
warning_codes = [0]
keep = { last = 1 }"#, &[r#"5:9: "A=B" is not a name of a variable"#, r#"5:26: "C" must be a string, not an integer"#, r#"6:13: "directory" must be an absolute path -> start it with /"#, r#"7:8: "a b" is no user -> write a name such as "nobody", or numbers as "1000" or "1000:1000""#, r#"8:18: each of "warning_codes" must be a whole number from 1 to 255"#, r#"9:1: unknown key "keep" -> known here: name, timezone, schedule, after_outcome, after, enabled, timeout, retries, on_missed, max_age, on_overlap, jitter, hooks, anomalies, kind, shell, command, env, directory, user, container, warning_codes"#]),
    (JOB_WITHOUT_KEEP, "", &[r#"3:1: job "a" has no "keep" -> add keep = { last = 7 }"#]),
    (JOB_WITHOUT_KEEP, "keep = {}", &[r#"7:8: "keep" is empty: it would keep nothing -> write for instance { last = 7 }"#]),
    (JOB_WITHOUT_KEEP, "keep = { last = 0 }", &[r#"7:17: "last" must be a whole number from 1 to 1000000"#]),
    (JOB_WITHOUT_KEEP, "keep = { lst = 7 }", &[r#"7:10: unknown key "lst" -> did you mean "last"?"#]),
    (JOB_WITHOUT_KEEP, r#"keep = { within = "0d" }"#, &[r#"7:19: "within" must be more than 0"#]),
    (JOB_WITHOUT_KEEP, "keep = 7", &[r#"7:8: "keep" must be a table, not an integer"#]),
    (TARGET, r#"[[job]]
name = "a"
kind = "prometheus-snapshot"
prometheus = "mian"
keep = { last = 7 }"#, &[r#"6:14: there is no [prometheus.mian] -> did you mean "main"?"#]),
    (NOTHING, r#"[[job]]
name = "a"
kind = "prometheus-snapshot"
prometheus = "main"
keep = { last = 7 }"#, &["4:14: there is no [prometheus.main] -> add a [prometheus.main] with its url"]),
    (JOB, r#"[[job]]
name = "a"
kind = "prometheus-snapshot"
prometheus = "main"
keep = { last = 7 }"#, &[r#"9:8: there is another job "a" -> each needs its own name"#]),
    (JOB, r#"schedule = "0 2 31 2 *""#, &[r#"8:12: "0 2 31 2 *" is no schedule: it never matches: there is no such date -> such as "0 2 * * *", every day at 02:00"#]),
    (JOB, r#"schedule = "0 25 * * *""#, &[r#"8:12: "0 25 * * *" is no schedule: its hour "25" is wrong: number out of bounds (0 to 23) -> such as "0 2 * * *", every day at 02:00"#]),
    (JOB, r#"shedule = "0 2 * * *""#, &[r#"8:1: unknown key "shedule" -> did you mean "schedule"?"#]),
    (JOB, r#"timeout = "0s""#, &[r#"8:11: "timeout" must be more than 0"#]),
    (JOB, r#"timeout = "1 hour""#, &[r#"8:11: "timeout" is not a length of time: "1 hour" -> write whole numbers with a unit, such as "90s", "1h30m" or "14d" (s, m, h, d, w)"#]),
    (JOB, "timeout = 3600", &[r#"8:11: "timeout" must be a length of time such as "90s", "1h" or "14d", not an integer"#]),
    (JOB, "anomalies = { longer = 100 }", &["8:24: longer must be more than 100 -> it is per cent of how long runs usually take, such as 400; 0 means however long"]),
    (JOB, "anomalies = { smaller = 0 }", &["8:25: \"smaller\" must be a whole number from 1 to 99"]),
    (JOB, "anomalies = { shortest = 5 }", &["8:15: unknown key \"shortest\" -> did you mean \"shorter\"?"]),
    (JOB, r#"verify_within = "1000y""#, &[r#"8:17: "verify_within" is not a length of time: "1000y" -> write whole numbers with a unit, such as "90s", "1h30m" or "14d" (s, m, h, d, w)"#]),
    (JOB, r#"layout = "zip""#, &[r#"8:10: "layout" cannot be "zip" -> write "blocks" or "archive""#]),
    (JOB, r#"compression = "bzip2""#, &[r#"8:15: "compression" cannot be "bzip2" -> write "gzip" or "zstd" or "none""#]),
    (JOB, "compression = 3", &[r#"8:15: "compression" must be a string, not an integer"#]),
    (JOB, r#"compression = "zip"
level = 99"#, &[r#"8:15: "compression" cannot be "zip" -> write "gzip" or "zstd" or "none""#]),
    (JOB, r#"compression = "zstd"
level = 20"#, &[r#"9:9: the "level" of zstd must be a whole number from 1 to 19"#]),
    (JOB, r#"level = 1
compression = "none""#, &[r#"8:9: "level" means nothing with compression = "none" -> remove it"#]),
    (JOB, r#"access = "ssh""#, &[r#"8:10: "access" cannot be "ssh" -> write "auto" or "docker" or "host""#]),
    (JOB, r#"access = "docker""#, &[r#"8:10: [prometheus.main] is no container, so Docker cannot read its data -> remove "access", or give the target its "container""#]),
    (JOB, "level = 10", &[r#"8:9: the "level" of gzip must be a whole number from 1 to 9"#]),
    (JOB, r#"level = "best""#, &[r#"8:9: the "level" of gzip must be a whole number from 1 to 9, not a string"#]),
    (JOB, "retries = 3", &[r#"8:11: "retries" must be a table, not an integer"#]),
    (JOB, r#"retries = { max = -1, backof = "1s" }"#, &[r#"8:19: "max" must be a whole number from 0 to 100"#, r#"8:23: unknown key "backof" -> did you mean "backoff"?"#]),
    (JOB, "enabled = 1", &[r#"8:11: "enabled" must be true or false, not an integer"#]),
    (NOTHING, r#"[defaults]
after = ["a"]"#, &[r#"2:1: unknown key "after" -> known here: timeout, retries, on_missed, max_age, on_overlap, jitter, hooks, anomalies"#]),
    (JOB, r#"after = ["a"]"#, &[r#"8:1: job "a" would run after itself -> break the circle of "after""#]),
    (JOB, r#"after = ["aa"]"#, &[r#"8:1: there is no job "aa" to run after -> did you mean "a"?"#]),
    (JOB, "after = []", &[r#"8:9: "after" names no job -> such as after = ["prometheus-snapshot"]"#]),
    (JOB, r#"after_outcome = "always""#, &[r#"8:17: "after_outcome" means nothing without "after" -> name the jobs in "after""#]),
    (JOB, "after = [\"a\"]\nschedule = \"@daily\"", &[r#"8:9: a job has a "schedule" or an "after", not both -> it runs whenever those jobs have ended; remove one of the two"#]),
    (JOB, r#"on_missed = "never""#, &[r#"8:13: "on_missed" cannot be "never" -> write "skip" or "once" or "all""#]),
    (JOB, r#"max_age = "0s""#, &[r#"8:11: "max_age" must be more than 0"#]),
    (NOTHING, r#"backup_dir = "/data/backups"
[prometheus.main]
url = "http://h:9090"
data_dir = "/data""#, &[r#"1:1: "backup_dir" is inside the data folder of [prometheus.main] -> a restore replaces that folder; put the backups elsewhere"#]),
    (NOTHING, r#"a = 
b = "x
[c"#, &["1:5: string values must be quoted, expected literal string", r#"2:7: invalid basic string, expected `"`"#, "3:3: unclosed table, expected `]`"]),
    (NOTHING, "a = 1
a = 2", &["2:1: duplicate key"]),
    (NOTHING, "[prometheus.main]
password = hunter2", &["2:12: string values must be quoted, expected literal string"]),];

#[test]
fn every_bad_file_is_refused_with_a_message_that_says_what_to_change() {
    for (start, rest, wanted) in BAD {
        assert_eq!(problems(&format!("{start}{rest}\n")), *wanted, "{rest}");
    }
}

#[test]
fn ten_problems_of_one_file_are_all_reported_in_its_order() {
    let text = r#"timezone = "Europe/Berln"
max_concurrent = 0
colour = "red"
[prometheus.main]
url = "http://admin:hunter2@localhost:9090"
user = "backup"
[[job]]
name = "Nightly"
kind = "prometheus-snapshot"
prometheus = "mian"
schedule = "0 2 31 2 *"
keep = { last = 0 }
shedule = "0 2 * * *"
timeout = "soon"
"#;
    let found: Vec<(usize, usize)> =
        parse(text).unwrap_err().problems.iter().map(|at| (at.line, at.column)).collect();
    let wanted =
        [(1, 12), (2, 18), (3, 1), (5, 7), (6, 1), (8, 8), (10, 14), (11, 12), (12, 17), (13, 1), (14, 11)];
    assert_eq!(found, wanted);
    let shown = parse(text).unwrap_err().to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    let one = "\njobs.toml:13:1: unknown key \"shedule\"\n   13 | shedule = \"0 2 * * *\"\n      | ^^^^^^^ did you mean \"schedule\"?\njobs.toml:14:11:";
    assert!(shown.contains(one), "{shown}");
}
