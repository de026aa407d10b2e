/* The floor: the least that a single-threaded DNS server over UDP can do. It sets QR and sends the packet back.
 *
 *   floor plain PORT   recvfrom and sendto, one packet at a time
 *   floor mmsg PORT    recvmmsg and sendmmsg, up to 32 packets a call
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 32, PACKET_MAX = 1500, HEADER = 12, QR = 0x80 };

static uint8_t packets[BATCH][PACKET_MAX];
static struct sockaddr_in clients[BATCH];

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct sockaddr_in here = {
      .sin_family = AF_INET,
      .sin_port = htons((uint16_t)port),
      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
  };
  if (bind(fd, (struct sockaddr *)&here, sizeof here)) {
    perror("bind");
    exit(1);
  }
  return fd;
}

static void answer_one_by_one(int fd) {
  for (;;) {
    socklen_t size = sizeof clients[0];
    ssize_t got = recvfrom(fd, packets[0], PACKET_MAX, 0, (struct sockaddr *)&clients[0], &size);
    if (got < HEADER)
      continue;
    packets[0][2] |= QR;
    sendto(fd, packets[0], (size_t)got, 0, (struct sockaddr *)&clients[0], size);
  }
}

static void answer_in_batches(int fd) {
  static struct mmsghdr messages[BATCH];
  static struct iovec parts[BATCH];
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){packets[i], PACKET_MAX};
      messages[i].msg_hdr = (struct msghdr){
          .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < got; i++) {
      parts[i].iov_len = messages[i].msg_len;
      if (HEADER <= messages[i].msg_len)
        packets[i][2] |= QR;
    }
    for (int done = 0; done < got;) {
      int sent = sendmmsg(fd, messages + done, (unsigned)(got - done), 0);
      done += 0 < sent ? sent : 1; /* One that can not be sent is left out. */
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3 || (strcmp(argv[1], "plain") && strcmp(argv[1], "mmsg"))) {
    fprintf(stderr, "usage: floor plain|mmsg PORT\n");
    return 2;
  }
  int fd = listen_on(atoi(argv[2]));
  if (!strcmp(argv[1], "plain"))
    answer_one_by_one(fd);
  else
    answer_in_batches(fd);
}
