//! What is stored after a crash of ClickHouse, made at the worst moments.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use watershed_pipeline::Exporter as _;
use watershed_pipeline::testing::with_id;

use super::support::{Server, free_port};
use super::{count, exporter_to, many_logs};

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for(server: &Server, table: &str, rows: &str) {
    let deadline = Instant::now() + PATIENCE;
    while count(server, table) != rows {
        assert!(Instant::now() < deadline, "{} rows instead of {rows}", count(server, table));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Leaves a table as a kill leaves it that comes after the token was written down and before the part got its name.
fn crash_before_the_part_is_named(server: &mut Server, database: &str) {
    let query =
        format!("SELECT path FROM system.parts WHERE active AND database = '{database}' ORDER BY name");
    let parts = server.query(&query);
    server.crash();
    for part in parts.lines().map(Path::new) {
        let name = part.file_name().unwrap().to_str().unwrap();
        fs::rename(part, part.with_file_name(format!("tmp_insert_{name}"))).unwrap();
    }
    server.recover();
}

#[tokio::test]
async fn rows_that_a_crash_took_back_although_their_token_stayed_are_stored_when_sent_again() {
    let mut server = Server::own(free_port());
    let database = server.database();
    let table = format!("{database}.otel_logs");
    for json in [false, true] {
        server.query(&format!("DROP TABLE IF EXISTS {table} SYNC"));
        let exporter = exporter_to(&server, &database, &format!("json: {json}"));
        let batch = |number: u128| with_id(many_logs(5), number);
        exporter.export(&batch(1)).await.unwrap();
        server.query(&format!("TRUNCATE TABLE {table}"));

        server.signal("STOP");
        let attempt = tokio::time::timeout(Duration::from_millis(300), exporter.export(&batch(2))).await;
        assert!(attempt.is_err(), "{attempt:?}");
        server.signal("CONT");
        wait_for(&server, &table, "5");
        crash_before_the_part_is_named(&mut server, &database);
        assert_eq!(count(&server, &table), "0");

        exporter.export(&batch(2)).await.unwrap();
        assert_eq!(count(&server, &table), "5");
        exporter.export(&batch(2)).await.unwrap();
        assert_eq!(count(&server, &table), "5");
    }
}

#[tokio::test]
async fn rows_that_survived_a_crash_are_not_stored_again() {
    let mut server = Server::own(free_port());
    let database = server.database();
    let table = format!("{database}.otel_logs");
    let exporter = exporter_to(&server, &database, "");
    exporter.export(&with_id(many_logs(3), 1)).await.unwrap();
    server.query(&format!("TRUNCATE TABLE {table}"));
    server.signal("STOP");
    let batch = with_id(many_logs(5), 2);
    let attempt = tokio::time::timeout(Duration::from_millis(300), exporter.export(&batch)).await;
    assert!(attempt.is_err(), "{attempt:?}");
    server.signal("CONT");
    wait_for(&server, &table, "5");
    server.crash();
    server.recover();
    exporter.export(&batch).await.unwrap();
    assert_eq!(count(&server, &table), "5");
}
