# The least that can be done in batches: recvmmsg, set QR, sendmmsg, up to 32 packets a call.
export CHECK=0
start() { exec "$BIN/floor" mmsg "$PORT"; }
