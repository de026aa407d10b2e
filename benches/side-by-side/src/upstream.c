/* A stub of a recursive resolver on 127.0.0.1, over UDP: makes up what each name has, the same each time.
 *
 *   upstream PORT [DELAY_MS [varied]]
 *
 * Every name has one A record in 198.18.0.0/15 (RFC 2544), one AAAA record in 2001:db8::/32 (RFC 3849) and one HTTPS record,
 * TTL 300; all else is NODATA with an SOA record. With `varied`, a hash of the name decides: several A and AAAA records,
 * TXT, MX, CNAME chains (to a name that exists or not), NXDOMAIN, NODATA, and the TTL.
 *
 * The answer for a name with the label "slow" is held back DELAY_MS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, QUERY_MAX = 512, PACKET_MAX = 1232, HELD_MAX = 1 << 15, HEADER = 12, POINTER = 0xc000 };
enum type { A = 1, CNAME = 5, SOA = 6, MX = 15, TXT = 16, AAAA = 28, OPT = 41, HTTPS = 65 };

/* What a name has. */
struct content {
  int exists, aliases, a, aaaa, mx, txt, https;
  uint32_t ttl;
};

/* An answer that is being written. */
struct message {
  uint8_t *octets;
  size_t size;
};

static int varied;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* FNV-1a over the name in lower case, then mixed so that all bits depend on all. */
static uint64_t hash_of(const uint8_t *name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (; *name; name += *name + 1)
    for (int i = 0; i <= *name; i++) {
      uint8_t c = name[i];
      if (i && 'A' <= c && c <= 'Z')
        c |= 32;
      hash = (hash ^ c) * 0x100000001b3;
    }
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
  return hash ^ hash >> 31;
}

/* `hop` is N of a target of an alias, cN-HASH.alias.example, which leads to the one with N - 1; 0: of any other name. */
static struct content content_of(uint64_t hash, int hop) {
  if (!varied)
    return (struct content){.exists = 1, .a = 1, .aaaa = 1, .https = 1, .ttl = 300};
  int kind = (int)(hash % 100);
  int aliases = hop ? hop - 1 : 10 <= kind && kind < 35 ? 1 + kind % 3 : 0;
  return (struct content){
      .exists = aliases || 10 <= kind,
      .aliases = aliases,
      .a = (int)(hash >> 8 & 0xff) % 5,
      .aaaa = (int)(hash >> 16) & 3,
      .mx = (int)(hash >> 20) & 1 ? 2 : 0,
      .txt = (int)(hash >> 24) & 1 ? 2 : 0,
      .https = (int)(hash >> 28) & 1,
      .ttl = 30 + (uint32_t)(hash >> 32) % 3600,
  };
}

static int hop_of(const uint8_t *name) {
  static const char suffix[] = "\5alias\7example";
  int is_target = 3 < *name && name[1] == 'c' && '1' <= name[2] && name[2] <= '3' && name[3] == '-';
  return is_target && !memcmp(name + *name + 1, suffix, sizeof suffix) ? name[2] - '0' : 0;
}

static void put(struct message *m, const void *octets, size_t size) {
  memcpy(m->octets + m->size, octets, size);
  m->size += size;
}
static void put16(struct message *m, unsigned value) {
  put(m, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}
static void put32(struct message *m, uint32_t value) {
  put16(m, value >> 16);
  put16(m, value & 0xffff);
}
static void put_record(struct message *m, unsigned owner, enum type type, uint32_t ttl, size_t size) {
  put16(m, POINTER | owner);
  put16(m, type);
  put16(m, 1);
  put32(m, ttl);
  put16(m, (unsigned)size);
}

/* Writes the records of a type that a name has; returns how many. */
static int put_records(struct message *m, unsigned owner, unsigned type, uint64_t hash, const struct content *has) {
  int count = type == A       ? has->a
              : type == AAAA  ? has->aaaa
              : type == MX    ? has->mx
              : type == TXT   ? has->txt
              : type == HTTPS ? has->https
                              : 0;
  for (int i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)(hash >> 16) + (uint32_t)i;
    if (type == A) {
      put_record(m, owner, A, has->ttl, 4);
      put32(m, 198u << 24 | 18u << 16 | (bits & 0x1ffff));
    } else if (type == AAAA) {
      put_record(m, owner, AAAA, has->ttl, 16);
      put(m, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0", 12);
      put32(m, bits);
    } else if (type == MX) {
      put_record(m, owner, MX, has->ttl, 8);
      put16(m, 10u * (unsigned)(i + 1));
      put(m, (char[]){3, 'm', 'x', (char)('1' + i)}, 4);
      put16(m, POINTER | owner);
    } else if (type == TXT) {
      char text[40];
      int length = snprintf(text, sizeof text, "made up: %08x", bits);
      put_record(m, owner, TXT, has->ttl, (size_t)length + 1);
      put(m, (uint8_t[]){(uint8_t)length}, 1);
      put(m, text, (size_t)length);
    } else {
      /* 1 . alpn=h2 */
      put_record(m, owner, HTTPS, has->ttl, 10);
      put(m, "\0\1\0\0\1\0\3\2h2", 10);
    }
  }
  return count;
}

/* Where the zone of the name at `owner` begins: at its last two labels. */
static unsigned zone_of(const struct message *m, unsigned owner) {
  unsigned zone = owner, at = owner, labels = 0;
  for (; m->octets[at]; at += m->octets[at] + 1u)
    labels++;
  for (; 2 < labels; labels--)
    zone += m->octets[zone] + 1u;
  return zone;
}

static void put_soa(struct message *m, unsigned owner) {
  put_record(m, zone_of(m, owner), SOA, 300, 22);
  put(m, "\0\0", 2); /* Its server and mailbox are the root: nobody. */
  const uint32_t numbers[] = {1, 7200, 3600, 604800, 300};
  for (int i = 0; i < 5; i++)
    put32(m, numbers[i]);
}

/* Turns the query into its answer, in place. Returns its size; 0: it is not worth one. */
static size_t answer(uint8_t *octets, size_t size, int *slow) {
  size_t at = HEADER;
  if (size < HEADER + 5 || octets[2] & 0x80 || octets[4] || octets[5] != 1)
    return 0;
  for (; octets[at]; at += octets[at] + 1u) {
    if (63 < octets[at] || size <= at + octets[at] + 5u)
      return 0;
    *slow |= octets[at] == 4 && !strncasecmp((char *)octets + at + 1, "slow", 4);
  }
  unsigned type = (unsigned)(octets[at + 1] << 8 | octets[at + 2]);
  int with_opt = octets[11]; /* What stands in the additional section of a query is an OPT record. */
  struct message m = {octets, at + 5};
  unsigned owner = HEADER;
  uint64_t hash = hash_of(octets + HEADER);
  struct content has = content_of(hash, hop_of(octets + HEADER));
  int answers = 0;
  for (int left = type == CNAME ? has.aliases != 0 : has.aliases; left; left--, answers++) {
    char label[32];
    int length = snprintf(label, sizeof label, "c%d-%016llx", left, (unsigned long long)hash);
    static const char suffix[] = "\5alias\7example"; /* with its closing NUL */
    put_record(&m, owner, CNAME, has.ttl, (size_t)length + 1 + sizeof suffix);
    owner = (unsigned)m.size;
    put(&m, (uint8_t[]){(uint8_t)length}, 1);
    put(&m, label, (size_t)length);
    put(&m, suffix, sizeof suffix);
    if (type != CNAME) {
      hash = hash_of(octets + owner);
      uint32_t ttl = has.ttl;
      has = content_of(hash, left);
      has.ttl = has.ttl < ttl ? has.ttl : ttl;
    }
  }
  if (type != CNAME || !answers) {
    int found = has.exists ? put_records(&m, owner, type, hash, &has) : 0;
    answers += found;
    if (!found)
      put_soa(&m, owner);
    octets[9] = !found;
  } else {
    octets[9] = 0;
  }
  octets[2] = 0x80 | (octets[2] & 1);
  octets[3] = has.exists ? 0x80 : 0x83;
  octets[6] = octets[8] = octets[10] = octets[11] = 0;
  octets[7] = (uint8_t)answers;
  if (with_opt) {
    octets[11] = 1;
    put(&m, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
  }
  return m.size;
}

/* An answer that waits for its time. All wait equally long, so they leave in the order in which they came. */
struct held {
  uint64_t due;
  struct sockaddr_in to;
  size_t size;
  uint8_t octets[PACKET_MAX];
};

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: upstream PORT [DELAY_MS [varied]]\n");
    return 2;
  }
  uint64_t delay = (uint64_t)((2 < argc ? atof(argv[2]) : 20) * 1e6);
  varied = 3 < argc && !strcmp(argv[3], "varied");
  int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  struct sockaddr_in here = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)&here, sizeof here)) {
    perror("bind");
    return 1;
  }
  static uint8_t packets[BATCH][PACKET_MAX];
  static struct sockaddr_in clients[BATCH];
  static struct mmsghdr in[BATCH], out[BATCH];
  static struct iovec in_parts[BATCH], out_parts[BATCH];
  struct held *queue = calloc(HELD_MAX, sizeof *queue);
  for (unsigned head = 0, tail = 0;;) {
    int flags = MSG_WAITFORONE;
    if (head != tail) {
      struct pollfd readable = {fd, POLLIN, 0};
      uint64_t at = now(), due = queue[head % HELD_MAX].due, left = at < due ? due - at : 0;
      struct timespec pause = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
      ppoll(&readable, 1, &pause, NULL);
      flags = MSG_DONTWAIT;
    }
    for (int i = 0; i < BATCH; i++) {
      in_parts[i] = (struct iovec){packets[i], QUERY_MAX};
      in[i].msg_hdr = (struct msghdr){
          .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &in_parts[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(fd, in, BATCH, flags, NULL), ready = 0;
    for (int i = 0; i < got; i++) {
      int slow = 0;
      size_t size = answer(packets[i], in[i].msg_len, &slow);
      if (!size)
        continue;
      if (slow) {
        if (tail - head == HELD_MAX)
          continue;
        struct held *held = &queue[tail++ % HELD_MAX];
        *held = (struct held){.due = now() + delay, .to = clients[i], .size = size};
        memcpy(held->octets, packets[i], size);
        continue;
      }
      out_parts[ready] = (struct iovec){packets[i], size};
      out[ready].msg_hdr = (struct msghdr){
          .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &out_parts[ready], .msg_iovlen = 1};
      ready++;
    }
    for (int done = 0; done < ready;) {
      int sent = sendmmsg(fd, out + done, (unsigned)(ready - done), 0);
      done += 0 < sent ? sent : 1;
    }
    for (; head != tail && queue[head % HELD_MAX].due <= now(); head++) {
      struct held *held = &queue[head % HELD_MAX];
      sendto(fd, held->octets, held->size, 0, (struct sockaddr *)&held->to, sizeof held->to);
    }
  }
}
