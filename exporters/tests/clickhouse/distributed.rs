//! A `Distributed` table of the user's own making, over two servers.

use watershed_pipeline::testing::with_id;
use watershed_pipeline::{ExportError, Exporter as _};

use super::support::{CLUSTER, Server};
use super::{count, exporter_to, many_logs, rows};

/// Makes the tables that rows end up in on each server, and the one in front of them on the first.
fn create_tables(servers: &[Server; 2]) -> String {
    let [front, back] = servers;
    let database = front.database();
    back.query(&format!("CREATE DATABASE {database}"));
    let ddl = include_str!("logs_v0.150.sql").replace("otel_logs", &format!("{database}.logs_of_shard"));
    for server in servers {
        server.query(&ddl);
        server.query(&format!(
            "ALTER TABLE {database}.logs_of_shard MODIFY SETTING non_replicated_deduplication_window = 100"
        ));
    }
    front.query(&format!(
        "CREATE TABLE {database}.otel_logs AS {database}.logs_of_shard \
         ENGINE = Distributed({CLUSTER}, {database}, logs_of_shard, cityHash64(Body))"
    ));
    database
}

#[tokio::test]
async fn rows_are_spread_over_the_servers_once_however_often_they_are_sent() {
    let servers = Server::sharded();
    let [front, back] = &servers;
    let database = create_tables(&servers);
    for (number, more) in
        [(1, ""), (2, "connection_params: {distributed_foreground_insert: 1}"), (3, "compress: zstd")]
    {
        for _ in 0..2 {
            let batch = with_id(many_logs(100), number);
            exporter_to(front, &database, more).export(&batch).await.unwrap();
            front.query(&format!("SYSTEM FLUSH DISTRIBUTED {database}.otel_logs"));
        }
        let table = format!("{database}.otel_logs");
        assert_eq!(count(front, &table), (number * 100).to_string());
        let bodies = rows(front, &format!("SELECT uniqExact(Body) AS bodies FROM {table}"));
        assert_eq!(bodies, [serde_json::json!({"bodies": 100})]);
    }
    let shard = format!("{database}.logs_of_shard");
    let counts = [front, back].map(|server| count(server, &shard).parse::<u32>().unwrap());
    assert!(counts.iter().all(|count| *count > 0) && counts.iter().sum::<u32>() == 300, "{counts:?}");
    // The tables of others are left alone.
    let ours = format!("system.tables WHERE database = '{database}' AND name LIKE 'watershed%'");
    assert_eq!(count(front, &ours), "0");
}

#[tokio::test]
async fn a_shard_that_is_down_is_waited_for() {
    let mut servers = Server::sharded();
    let database = create_tables(&servers);
    let exporter =
        exporter_to(&servers[0], &database, "connection_params: {distributed_foreground_insert: 1}");
    exporter.export(&with_id(many_logs(100), 1)).await.unwrap();
    servers[1].crash();
    let result = exporter.export(&with_id(many_logs(100), 2)).await;
    assert!(matches!(result, Err(ExportError::Retry { .. })), "{result:?}");
    servers[1].recover();
    exporter.export(&with_id(many_logs(100), 2)).await.unwrap();
    assert_eq!(count(&servers[0], &format!("{database}.otel_logs")), "200");
}
