# The least that can be done: recvfrom, set QR, sendto.
export CHECK=0
start() { exec "$BIN/floor" plain "$PORT"; }
