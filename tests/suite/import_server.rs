//! `csv_import` and what a server of PostgreSQL can do to it: it is restarted, connections are cut, types and rights are not what they
//! were; TLS and passwords.

mod import_postgres {
    use std::process::Command;

    use crate::import_proxy::{Cut, Proxy};
    use crate::import_shop::{Shop, server};
    use crate::stage::{Done, Running};

    const JOB: &str = "table: t\ncolumns: { id: integer, name: text, amount: decimal }";

    /// `rows.csv` of so many rows, and a table with a key if there is one.
    fn prepared(mode: &str, rows: usize) -> Shop {
        let shop = Shop::postgres();
        let id = |n: usize| if mode == "append" { n } else { n - n % 5 % 2 };
        let row = |n: usize| format!("{},row {n},{n}.{:02}\n", id(n), n % 100);
        shop.stage.write("rows.csv", format!("id,name,amount\n{}", (0..rows).map(row).collect::<String>()));
        shop.sql("CREATE TABLE t (id bigint, name text, amount numeric)");
        if mode != "append" {
            shop.sql("CREATE UNIQUE INDEX t_id ON t (id); INSERT INTO t VALUES (-1, 'old', 0), (0, 'old', 0)");
        }
        shop.import(&job(mode), SETTINGS);
        shop
    }

    const SETTINGS: &str = "batch: { max_items: 50 }\nmax_concurrency: 8";

    fn job(mode: &str) -> String {
        let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
        format!("table: t\nmode: {mode}\n{key}max_connections: 2\ncolumns: {{ id: integer, name: text, amount: decimal }}")
    }

    const STATE: &str = "SELECT count(*), sum(amount), md5(string_agg(t::text, '|' ORDER BY id, name)) FROM t";

    fn port() -> u16 {
        server().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn connections_that_are_cut_around_commits_lose_and_double_nothing() {
        let mut random = fastrand::Rng::with_seed(11);
        for mode in ["append", "upsert", "replace"] {
            let undisturbed = prepared(mode, 3_000);
            let items = undisturbed.stage.finished(0, &["run", "import.yaml", "--as", "a"])["items"].clone();
            let mut all = vec![
                vec![Cut::BeforeCommit(1), Cut::AfterCommit(1), Cut::AfterCommit(1), Cut::BeforeCommit(1)],
                vec![Cut::AfterCommit(2), Cut::BeforeCommit(2), Cut::AfterCommit(3), Cut::AfterCommit(1)],
                vec![Cut::Silently(1), Cut::Silently(2)],
            ];
            // The first 4,000 bytes or so are a connection's beginning.
            all.extend((0..6).map(|_| (0..5).map(|_| Cut::AtByte(random.usize(4_500..60_000))).collect()));
            for cuts in all {
                let shop = prepared(mode, 3_000);
                let proxy = Proxy::start(port(), cuts.clone());
                shop.import_to(&proxy.url(shop.url.as_deref().unwrap()), &job(mode), SETTINGS);
                let mut report = shop.stage.run(&["run", "import.yaml", "--as", "a", "--json"]);
                // Where a session begins a connection that is lost ends it: nothing is done yet.
                for _ in 0..cuts.len() {
                    if report.code == Some(0) {
                        break;
                    }
                    report = shop.stage.run(&["resume", "a", "--json"]);
                }
                let last = crate::stage::finished(&report.ended(0).lines());
                assert!(proxy.cuts() > 0, "{mode} {cuts:?}: nothing was cut");
                assert_eq!((&last["items"], shop.sql(STATE)), (&items, undisturbed.sql(STATE)), "{mode} {cuts:?}");
                assert_eq!(shop.left_behind(), "", "{mode} {cuts:?}");
            }
        }
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn connections_that_an_administrator_ends_lose_and_double_nothing() {
        let undisturbed = prepared("append", 20_000);
        undisturbed.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
        let shop = prepared("append", 20_000);
        let mut running = shop.stage.spawn(&["run", "import.yaml", "--as", "a", "--json"]);
        for rows in [1, 4_000, 8_000, 12_000] {
            shop.stage.until("rows", |_| !running.is_running() || shop.number("SELECT count(*) FROM t") >= rows);
            shop.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'fanfold'");
        }
        let done = running.wait().ended(0);
        let last = crate::stage::finished(&done.lines());
        assert_eq!((&last["items"]["succeeded"], &last["attempts"]), (&20_000.into(), &20_000.into()), "it costs no try: {last}");
        assert_eq!(shop.sql(STATE), undisturbed.sql(STATE));
    }

    /// Alone: tests/engines.sh runs it after the others.
    #[test]
    #[ignore = "needs PostgreSQL for itself"]
    fn a_server_that_is_restarted_in_the_middle_is_waited_for() {
        let restart = std::env::var("FANFOLD_TEST_POSTGRES_RESTART").expect("tests/engines.sh runs these tests");
        for mode in ["append", "upsert", "replace"] {
            let undisturbed = prepared(mode, 20_000);
            let items = undisturbed.stage.finished(0, &["run", "import.yaml", "--as", "a"])["items"].clone();
            let shop = prepared(mode, 20_000);
            let mut running = shop.stage.spawn(&["run", "import.yaml", "--as", "a", "--json"]);
            let written = "SELECT coalesce(max(last), 0) FROM fanfold_batches";
            shop.stage.until("notes", |_| shop.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'fanfold_batches'") == "1");
            for rows in [500, 6_000] {
                shop.stage.until("rows", |_| !running.is_running() || shop.number(written) >= rows);
                assert!(running.is_running(), "{mode}: too fast to be in the middle");
                assert!(Command::new(&restart).output().expect("it can be run").status.success());
            }
            let last = crate::stage::finished(&running.wait().ended(0).lines());
            assert_eq!((&last["items"], shop.sql(STATE)), (&items, undisturbed.sql(STATE)), "{mode}");
            assert_eq!(shop.left_behind(), "", "{mode}");
        }
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn a_program_that_is_killed_in_a_long_end_does_not_keep_the_next_one_waiting() {
        let shop = prepared("upsert", 200);
        // The end takes ten seconds, and one row of it is enough for the server to see that nobody waits.
        shop.sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
             CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
        );
        let running = shop.stage.spawn(&["run", "import.yaml", "--as", "a"]);
        let merging = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'INSERT INTO \"public\".\"t\"%'";
        shop.stage.until("the end", |_| shop.number(merging) == 1);
        running.kill();
        shop.stage.until("the server sees it", |_| shop.number(merging) == 0);
        shop.sql("DROP TRIGGER slow ON t");
        shop.stage.finished(0, &["resume", "a"]);
        assert_eq!(shop.sql("SELECT count(*) FROM t"), "121");
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn no_more_connections_are_made_than_are_allowed() {
        for mode in ["append", "upsert"] {
            let shop = prepared(mode, 2_000);
            let role = format!("one_{:08x}", fastrand::u32(..));
            shop.sql(&format!(
                "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON t TO {role}"
            ));
            let url = shop.url.as_deref().unwrap().replace("fanfold@", &format!("{role}@"));
            shop.import_to(&url, &job(mode).replace("max_connections: 2", "max_connections: 1"), SETTINGS);
            shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
        }
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn rights_are_looked_at_before_the_first_row_by_column_and_mode() {
        let shop = prepared("upsert", 10);
        let role = format!("some_{:08x}", fastrand::u32(..));
        shop.sql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}"));
        let url = shop.url.as_deref().unwrap().replace("fanfold@", &format!("{role}@"));
        shop.import_to(&url, &job("upsert"), SETTINGS);
        for (grant, said) in [
            ("INSERT (id, name)", "has no right to INSERT `amount` of `t`: GRANT INSERT gives it"),
            ("INSERT", "has no right to UPDATE `name`, `amount` of `t`: GRANT UPDATE gives it"),
            ("UPDATE (name, amount)", "has no right to SELECT `id`, `name`, `amount` of `t`: GRANT SELECT gives it"),
        ] {
            shop.sql(&format!("GRANT {grant} ON t TO {role}"));
            shop.stage.run(&["run", "import.yaml"]).ended(4).says(&format!("`{role}` {said}"));
        }
        shop.sql(&format!("GRANT SELECT ON t TO {role}"));
        shop.stage.finished(0, &["run", "import.yaml"]);
        shop.import_to(&url, &job("replace"), SETTINGS);
        shop.stage.run(&["run", "import.yaml"]).ended(4).says("may not replace the rows of `t`: GRANT TRUNCATE lets it");
    }

    /// Binary values in a column of another type would be other values.
    #[test]
    #[ignore = "needs PostgreSQL"]
    fn types_that_are_changed_in_the_middle_are_seen_before_a_row_is_written() {
        let shop = Shop::postgres();
        shop.stage.write("rows.csv", format!("id,n\n{}", (0..600).map(|n| format!("{n},{n}\n")).collect::<String>()));
        shop.sql(
            "CREATE TABLE t (id integer, n bigint);
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';
             CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
        );
        let settings = "batch: { max_items: 20 }\nmax_concurrency: 1";
        shop.import("table: t\ncolumns: { id: integer, n: integer }", settings);
        let mut running = shop.stage.spawn(&["run", "import.yaml", "--as", "a"]);
        shop.stage.until("rows", |_| shop.number("SELECT count(*) FROM t") >= 40);
        assert!(running.is_running());
        // Both have 8 bytes: they would be taken for something else without a word.
        shop.sql("ALTER TABLE t ALTER n TYPE double precision; DROP TRIGGER slow ON t");
        running
            .wait()
            .ended(4)
            .says("the types of the table's columns were changed while rows were written; none of these rows is in it");
        shop.stage.run(&["resume", "a"]).ended(4).says("`n` is double precision in the table and `integer` in the workflow");
        shop.sql("ALTER TABLE t ALTER n TYPE numeric");
        assert_eq!(shop.stage.finished(0, &["resume", "a"])["items"]["succeeded"], 600);
        assert_eq!(shop.sql("SELECT count(*), sum(n), count(*) FILTER (WHERE n <> id) FROM t"), "600|179700|0");
    }

    /// What was staged before is put in as what the table has become.
    #[test]
    #[ignore = "needs PostgreSQL"]
    fn types_that_are_changed_between_sessions_take_what_was_staged() {
        let shop = Shop::postgres();
        shop.stage.write("rows.csv", format!("id,n\n{}", (0..300).map(|n| format!("{n},{n}\n")).collect::<String>()));
        shop.sql("CREATE TABLE t (id integer PRIMARY KEY, n integer)");
        shop.import(
            "table: t\nmode: upsert\nconflict_key: [id]\ncolumns: { id: integer, n: integer }",
            "batch: { max_items: 20 }",
        );
        shop.stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "120"]);
        shop.sql("ALTER TABLE t ALTER n TYPE numeric(12,2)");
        assert_eq!(shop.stage.finished(0, &["resume", "a"])["items"]["succeeded"], 300);
        assert_eq!(shop.sql("SELECT count(*), sum(n), count(*) FILTER (WHERE n <> id) FROM t"), "300|44850.00|0");
    }

    fn with_env(shop: &Shop, env: &[(&str, &str)]) -> Done {
        let mut command = shop.stage.command(&["run", "import.yaml"]);
        command.env_remove("PGPASSWORD").envs(env.iter().copied());
        Running::of(command).wait()
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn a_server_behind_tls_is_reached_if_its_certificate_is_believed() {
        let shop = prepared("append", 10);
        let ca = std::env::var("FANFOLD_TEST_POSTGRES_CA").expect("tests/engines.sh runs these tests");
        let role = "DO $$ BEGIN CREATE ROLE walled LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
        shop.sql(&format!("{role}; GRANT ALL ON SCHEMA public TO walled; GRANT ALL ON t TO walled"));
        let url = shop.url.as_deref().unwrap().replace("fanfold@127.0.0.1", "walled@localhost");
        let job = "table: t\ncolumns: { id: integer, name: text }";
        shop.import_to(&url, job, "");
        // On this machine nobody asks for TLS, and this one insists on it.
        with_env(&shop, &[]).ended(4).says("pg_hba.conf rejects connection for host \"127.0.0.1\", user \"walled\"");
        shop.import_to(&format!("{url}?sslmode=require"), job, "");
        with_env(&shop, &[]).ended(4).says("invalid peer certificate: UnknownIssuer");
        with_env(&shop, &[("SSL_CERT_FILE", &ca)]).ended(0);
        assert_eq!(shop.sql("SELECT count(*) FROM t"), "10");
        // The certificate is for another name.
        shop.import_to(&format!("{}?sslmode=require", url.replace("localhost", "127.0.0.1")), job, "");
        with_env(&shop, &[("SSL_CERT_FILE", &ca)]).ended(4).says("certificate not valid for name");
        assert_eq!(shop.sql("SELECT count(*) FROM t"), "10");
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn a_password_comes_from_the_environment_or_a_secret_and_is_never_shown() {
        let shop = prepared("append", 10);
        let role =
            "DO $$ BEGIN CREATE ROLE keeper LOGIN PASSWORD 'sesame-4711'; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
        shop.sql(&format!("{role}; GRANT ALL ON SCHEMA public TO keeper; GRANT ALL ON t TO keeper"));
        let url = shop.url.as_deref().unwrap().replace("fanfold@", "keeper@");
        shop.import_to(&url, JOB, "");
        with_env(&shop, &[]).ended(4).says("password missing");
        let done =
            with_env(&shop, &[("PGPASSWORD", "sesame-4712")]).ended(4).says("password authentication failed for user \"keeper\"");
        assert!(!done.err.contains("4712"), "{}", done.err);
        with_env(&shop, &[("PGPASSWORD", "sesame-4711")]).ended(0);
        shop.import_to(&url.replace("keeper@", "keeper:{{ secrets.db }}@"), JOB, "secrets: { db: { env: SHOP_PASSWORD } }");
        with_env(&shop, &[("SHOP_PASSWORD", "sesame-4711")]).ended(0);
        assert_eq!(shop.sql("SELECT count(*) FROM t"), "20");
        shop.import_to(&url.replace("keeper@", "keeper:sesame-4711@"), JOB, "");
        let done = shop.stage.run(&["run", "import.yaml"]).ended(2).says("PGPASSWORD");
        assert!(!done.err.contains("sesame"), "{}", done.err);
        for file in walk(&shop.stage.path(".fanfold")) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(11).any(|part| part == b"sesame-4711"), "{} has the password", file.display());
        }
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
        }
        found
    }
}
