#!/usr/bin/env python3
"""Serve the real ClickHouse engine over HTTP and the native protocol, on loopback, for tests.

No ClickHouse server binary is needed.  The chDB packages carry a whole `clickhouse-local`,
which understands `SYSTEM START LISTEN HTTP|TCP` (26.7 and 26.9 do, 26.5 does not): the listener
that this opens is ClickHouse's own HTTPHandler/TCPHandler, so nothing of the protocol is
imitated here.  This file only writes a config, starts that program and ends it again.

Not as on a server: async_insert is carried out at once (there is no queue), replicated tables
stay read-only, users come from users.xml alone, no TLS, and of the system logs only those that
the config names.

The engine is PyPI's `chdb-core` (pip install --no-deps chdb-core==26.9.0), found by import path.

    clickhouse_http.py --path DIR [--http-port 8123] [--tcp-port 9000]
                       [--user otel --password secret] [--exit-with-stdin] [--remove]

It prints one line, `ready http=PORT tcp=PORT pid=PID version=V`, once it answers; port 0 picks
a free port.  SIGTERM/SIGINT stop it in order (Buffer tables and logs are flushed); SIGKILL is a
crash.  With --exit-with-stdin it also stops when its standard input closes: hand it a pipe, and
it cannot outlive the process that started it (PR_SET_PDEATHSIG would go by thread, which ends
the server with the test thread that happened to start it).
"""

import argparse
import hashlib
import http.client
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import sys
import threading
import time

KEEPALIVE_ID = "harness-keepalive"

CONFIG = """<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http_port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <users_config>{users_config}</users_config>
  <logger><log>{log}</log></logger><log-level>{log_level}</log-level>
  <query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>1000</flush_interval_milliseconds></query_log>
  {extra}
</clickhouse>
"""

# `default` has to stay open, without a password: the program's own local session, which runs
# SYSTEM START LISTEN and the keep-alive query, signs in as that user, from a loopback address.
USERS = """<clickhouse>
  <profiles><default>
    <!-- undo what clickhouse-local changes from the server's defaults -->
    <implicit_select>0</implicit_select>
    <allow_introspection_functions>0</allow_introspection_functions>
  </default></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/><networks><ip>::/0</ip></networks>
      <profile>default</profile><quota>default</quota>
      <access_management>1</access_management><named_collection_control>1</named_collection_control>
    </default>
    {extra}
  </users>
</clickhouse>
"""

USER = """<{name}>
      <password_sha256_hex>{digest}</password_sha256_hex><networks><ip>::/0</ip></networks>
      <profile>default</profile><quota>default</quota><access_management>1</access_management>
    </{name}>"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_config(args):
    """Lay out the directory <path>.conf and return the config file's path."""
    conf = pathlib.Path(str(args.path) + ".conf")
    conf.mkdir(parents=True, exist_ok=True)
    users = ""
    if args.user:
        digest = hashlib.sha256(args.password.encode()).hexdigest()
        users = USER.format(name=args.user, digest=digest)
    if args.extra_users:
        users += args.extra_users.read_text()
    (conf / "users.xml").write_text(USERS.format(extra=users))
    extra = args.extra_config.read_text() if args.extra_config else ""
    (conf / "config.xml").write_text(CONFIG.format(
        http_port=args.http_port, tcp_port=args.tcp_port, users_config=conf / "users.xml",
        log=conf / "clickhouse.log", log_level=args.log_level, extra=extra))
    return conf / "config.xml"


def keepalive_query():
    return ("SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
            "SELECT sleepEachRow(0.25) FROM system.numbers "
            "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, "
            f"log_comment = '{KEEPALIVE_ID}', log_queries = 0 FORMAT Null")


def run_pypi(config, path):
    """The engine inside PyPI's chdb-core: its module function `query` is clickhouse-local's main.

    The module is loaded by itself, because `import chdb` starts another engine first, and only
    one can live in a process.  clickhouse-local reads ./config.xml, hence the chdir.
    """
    package = importlib.util.find_spec("chdb").submodule_search_locations[0]
    library = os.path.join(package, "_chdb.abi3.so")
    os.chdir(package)  # it finds its helper libraries beside itself
    loader = importlib.machinery.ExtensionFileLoader("_chdb", library)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_chdb", loader))
    loader.exec_module(module)
    os.chdir(config.parent)
    module.query(keepalive_query(), "TabSeparated", path=str(path))


def ask(args, sql):
    """One query over HTTP, as `default`."""
    connection = http.client.HTTPConnection("127.0.0.1", args.http_port, timeout=5)
    connection.request("POST", "/", sql)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError(text)
    return text.strip()


def announce(args, ended):
    while not ended.is_set():
        try:
            version = ask(args, "SELECT version()")
        except OSError:
            time.sleep(0.05)
            continue
        print(f"ready http={args.http_port} tcp={args.tcp_port} pid={os.getpid()} version={version}", flush=True)
        return


def watch(lifeline):
    while os.read(lifeline, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=pathlib.Path, required=True, help="data directory")
    parser.add_argument("--http-port", type=int, default=8123)
    parser.add_argument("--tcp-port", type=int, default=9000)
    parser.add_argument("--user", help="one more user, besides the passwordless `default`")
    parser.add_argument("--password", default="")
    parser.add_argument("--extra-config", type=pathlib.Path, help="XML put inside <clickhouse>")
    parser.add_argument("--extra-users", type=pathlib.Path, help="XML put inside <users>")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--exit-with-stdin", action="store_true")
    parser.add_argument("--remove", action="store_true", help="delete the data after an orderly stop")
    args = parser.parse_args()
    args.path = args.path.absolute()
    args.http_port = args.http_port or free_port()
    args.tcp_port = args.tcp_port or free_port()

    # clickhouse-local would take a pipe on standard input for a table's data.
    lifeline = os.dup(0) if args.exit_with_stdin else None
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    config = write_config(args)
    ended = threading.Event()
    failure = []

    def engine():
        try:
            run_pypi(config, args.path)
        except BaseException as error:  # the engine's own error, or ours; told below
            failure.append(error)
        finally:
            ended.set()
            os.kill(os.getpid(), signal.SIGTERM)  # wakes the main thread

    # The engine runs beside this thread and installs its own signal handlers, so the signals
    # to stop on are taken with sigwait, which no handler of the engine's can get ahead of.
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    threading.Thread(target=engine, daemon=True).start()
    threading.Thread(target=announce, args=(args, ended), daemon=True).start()
    if lifeline is not None:
        threading.Thread(target=watch, args=(lifeline,), daemon=True).start()

    # Not sigtimedwait: after SIGSTOP and SIGCONT it reports a signal that nobody sent.
    signal.sigwait(stop_signals)
    if not ended.is_set():
        try:
            ask(args, f"KILL QUERY WHERE Settings['log_comment'] = '{KEEPALIVE_ID}' ASYNC")
        except (OSError, RuntimeError) as error:
            print(f"not stopped in order: {error}", file=sys.stderr)
            os._exit(1)
        ended.wait(30)
        if args.remove:
            shutil.rmtree(args.path, ignore_errors=True)
            shutil.rmtree(str(args.path) + ".conf", ignore_errors=True)
        os._exit(0)
    if failure:
        print(f"the engine ended: {failure[0]}", file=sys.stderr)
    os._exit(1)


if __name__ == "__main__":
    main()
