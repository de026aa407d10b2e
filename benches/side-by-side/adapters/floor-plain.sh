# The least that can be done: recvfrom, set QR, sendto.
CHECK=0
start() { exec "$BIN/floor" plain "$PORT"; }
