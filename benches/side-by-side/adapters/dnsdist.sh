# dnsdist with a SuffixMatchNode, null answers and a packet cache.
need() { command -v dnsdist; }
version() { dnsdist --version | head -n 1 | cut -d '(' -f 1; }
prepare() {
  cp "$DOMAINS" "$DIR/names"
  cat >"$DIR/dnsdist.lua" <<EOF
setLocal('127.0.0.1:$PORT')
setACL({'127.0.0.0/8'})
controlSocket('127.0.0.1:$((PORT + 10))')
setKey('$(head -c 32 /dev/urandom | base64)')
setSecurityPollSuffix('')
newServer({address = '127.0.0.1:$UP_PORT'}):setUp()
getPool(''):setCache(newPacketCache(100000, {maxTTL = 86400}))
function block()
  local names = newSuffixMatchNode()
  for name in io.lines('$DIR/names') do names:add(name) end
  setRules({
    newRuleAction(SuffixMatchNodeRule(names, true), SpoofAction({'0.0.0.0', '::'})),
    newRuleAction(SuffixMatchNodeRule(names, true), RCodeAction(DNSRCode.NOERROR)),
  })
end
block()
EOF
}
start() { exec dnsdist --supervised --disable-syslog --config "$DIR/dnsdist.lua"; }
reload() { cp "$DOMAINS" "$DIR/names" && dnsdist --config "$DIR/dnsdist.lua" --execute 'block()'; }
