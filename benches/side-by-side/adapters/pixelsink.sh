# pixelsink with its defaults, history on; the limit for a client is off, since all clients here are one machine.
export KEEPS=1
export SETTLE=65 # The history is written once a minute.
pixelsink=${PIXELSINK_BIN:-$BENCH/../../target/release/pixelsink}
need() { [ -x "$pixelsink" ]; }
version() { "$pixelsink" --version; }
prepare() {
  mkdir "$DIR/data"
  cp "$HOSTS" "$DIR/list.hosts"
  cat >"$DIR/pixelsink.toml" <<EOF
data_dir = "$DIR/data"
[dns]
listen = ["127.0.0.1:$PORT"]
[limits]
queries_per_second = 0
[upstream]
servers = ["udp://127.0.0.1:$UP_PORT"]
[web]
listen = ["127.0.0.1:$((PORT + 10))"]
[builtin]
levels = []
[[lists]]
name = "bench"
path = "$DIR/list.hosts"
format = "hosts"
EOF
}
start() { exec "$pixelsink" run --config "$DIR/pixelsink.toml"; }
reload() { cp "$HOSTS" "$DIR/list.new" && mv "$DIR/list.new" "$DIR/list.hosts"; } # It watches the file.
