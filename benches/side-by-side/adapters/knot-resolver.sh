# Knot Resolver with policy.rpz, forwarding without validation.
need() { command -v kresd; }
version() { kresd --version; }
prepare() {
  rpz_zone >"$DIR/block.rpz"
  cat >"$DIR/kresd.conf" <<EOF
log_level('err')
net.listen('127.0.0.1', $PORT, { kind = 'dns' })
trust_anchors.remove('.')
for _, name in ipairs({'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew', 'detect_time_jump'}) do
  modules.unload(name)
end
cache.size = 100 * MB
policy.add(policy.rpz(policy.DENY, '$DIR/block.rpz', true))
policy.add(policy.all(policy.STUB({'127.0.0.1@$UP_PORT'})))
EOF
}
start() { exec kresd --noninteractive --config="$DIR/kresd.conf" "$DIR"; }
reload() { rpz_zone >"$DIR/new.rpz" && mv "$DIR/new.rpz" "$DIR/block.rpz"; } # It watches the file.
