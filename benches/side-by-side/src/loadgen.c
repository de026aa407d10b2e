/* Asks one server on 127.0.0.1 and checks each answer: what dnsperf can not do. Prints one JSON object, also when
 * SIGTERM ends it early.
 *
 *   loadgen PORT FILE [key=value ...]
 *     seconds=5     how long
 *     passes=0      so many passes over FILE in place of a time
 *     rate=0        so many queries a second whatever the server does (open loop); 0: as fast as answers come (closed loop)
 *     window=100    how many queries are under way at once in the closed loop
 *     sources=20    from so many client addresses, 127.0.0.10 and up, each with a socket of its own
 *     timeout=1000  a query without an answer after so many milliseconds is lost
 *     check=1       0: any answer will do (the floor's)
 *     salt=0        runs with different salt have different unique names
 *
 * A line of FILE is NAME TYPE TAG. The tag says what the answer must be:
 *   b  blocked: NXDOMAIN, no record of the type, 0.0.0.0 or ::
 *   a  allowed: the stub upstream's record
 *   m  a miss: allowed, and NAME gets a first label that no cache can know
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum {
  SOURCES_MAX = 64,
  SLOTS = 256, /* queries under way from one source: the low octet of their ID is the slot, the high one its turn */
  BATCH = 64,
  PACKET_MAX = 1500,
  UNIQUE = 12, /* octets of the first label of a miss */
  STEPS = 64,  /* of the histogram, in each power of two: percentiles are exact to 1.6 % */
  BUCKETS = 64 * STEPS,
};
enum tag { BLOCKED, ALLOWED, MISS, TAGS };
static const char *const TAG_NAMES[] = {"blocked", "allowed", "miss", "all"};
static const uint64_t SECOND = 1000000000, SWEEP = 50000000;

struct query {
  uint32_t offset; /* of its packet in `pool` */
  uint16_t size;
  uint8_t tag, qtype;
};
struct slot {
  uint64_t sent_at;
  uint32_t query, unique;
  uint8_t turn, busy;
};
struct source {
  int fd, free_count;
  uint16_t free[SLOTS];
  struct slot slots[SLOTS];
};
struct tally {
  uint64_t answers, wrong, max_ns;
  uint32_t histogram[BUCKETS];
};

static uint8_t *pool;
static struct query *queries;
static uint32_t query_count, next_query, first_wrong;
static struct source sources[SOURCES_MAX];
static struct tally tallies[TAGS + 1]; /* the last one is of all */
static uint64_t sent, lost, late, not_sent, strange, truncated, rcodes[16], passes_done, unique_count;

/* The options. */
static double seconds = 5, rate, timeout_ms = 1000;
static int window = 100, source_count = 20, check = 1, passes;
static uint64_t salt;

static volatile sig_atomic_t ended;

static void on_signal(int number) {
  (void)number;
  ended = 1;
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static int bucket_of(uint64_t ns) {
  if (ns < STEPS)
    return (int)ns;
  int power = 63 - __builtin_clzll(ns);
  return (power - 5) * STEPS + (int)(ns >> (power - 6) & (STEPS - 1));
}

static double middle_of(int bucket) {
  if (bucket < STEPS)
    return bucket;
  int power = bucket / STEPS + 5;
  uint64_t width = 1ull << (power - 6);
  return (double)((1ull << power) + (uint64_t)(bucket % STEPS) * width + width / 2);
}

static double percentile_us(const struct tally *tally, double share) {
  uint64_t wanted = (uint64_t)(share * (double)tally->answers), seen = 0;
  double ns = (double)tally->max_ns;
  for (int i = 0; i < BUCKETS; i++) {
    seen += tally->histogram[i];
    if (wanted < seen) {
      ns = middle_of(i) < ns ? middle_of(i) : ns;
      break;
    }
  }
  return ns / 1000;
}

/* ---- the queries ---- */

static int type_number(const char *type) {
  return !strcmp(type, "A") ? 1 : !strcmp(type, "AAAA") ? 28 : !strcmp(type, "HTTPS") ? 65 : atoi(type);
}

static size_t compose(uint8_t *packet, const char *name, int qtype, int with_unique) {
  static const uint8_t header[] = {0, 0, 1 /* RD */, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  memcpy(packet, header, sizeof header);
  size_t at = sizeof header;
  if (with_unique) {
    packet[at] = UNIQUE;
    at += 1 + UNIQUE;
  }
  while (*name) {
    size_t length = strcspn(name, ".");
    if (!length || 63 < length) {
      fprintf(stderr, "no domain name: %s\n", name);
      exit(1);
    }
    packet[at++] = (uint8_t)length;
    memcpy(packet + at, name, length);
    at += length;
    name += length + (name[length] == '.');
  }
  const uint8_t end[] = {0, 0, (uint8_t)qtype, 0, 1};
  memcpy(packet + at, end, sizeof end);
  return at + sizeof end;
}

static void read_queries(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) {
    perror(path);
    exit(1);
  }
  size_t pool_room = 1 << 20, pool_used = 0, room = 1 << 12;
  pool = malloc(pool_room);
  queries = malloc(room * sizeof *queries);
  char name[256], type[16], tag[2];
  while (fscanf(file, "%255s %15s %1s", name, type, tag) == 3) {
    if (query_count == room)
      queries = realloc(queries, (room *= 2) * sizeof *queries);
    if (pool_room - pool_used < 600)
      pool = realloc(pool, pool_room *= 2);
    enum tag what = *tag == 'b' ? BLOCKED : *tag == 'a' ? ALLOWED : MISS;
    int qtype = type_number(type);
    size_t size = compose(pool + pool_used, name, qtype, what == MISS);
    queries[query_count++] = (struct query){(uint32_t)pool_used, (uint16_t)size, (uint8_t)what, (uint8_t)qtype};
    pool_used += size;
  }
  fclose(file);
  if (!query_count) {
    fprintf(stderr, "%s has no queries\n", path);
    exit(1);
  }
}

/* Writes the first label of a miss: 60 bits of a number that no other query of this salt has. */
static void write_unique(uint8_t *packet, uint32_t number) {
  uint64_t bits = (salt << 32 | number) * 0x9e3779b97f4a7c15ull;
  for (int i = 0; i < UNIQUE; i++, bits >>= 5)
    packet[13 + i] = (uint8_t)"0123456789abcdefghijklmnopqrstuv"[bits & 31];
}

/* ---- the answers ---- */

/* Whether an answer with the right question says what the tag asks for. */
static int is_right(const uint8_t *answer, int size, const struct query *query) {
  static const uint8_t null[16];
  int rcode = answer[3] & 15, count = answer[6] << 8 | answer[7], at = query->size;
  if (answer[2] & 2) {
    truncated++;
    return 0;
  }
  if (rcode == 3)
    return query->tag == BLOCKED;
  if (rcode)
    return 0;
  for (; count; count--) {
    while (at < size && answer[at] && answer[at] < 0xc0)
      at += answer[at] + 1;
    at += at < size && answer[at] ? 2 : 1;
    if (size < at + 10)
      return 0;
    int type = answer[at] << 8 | answer[at + 1], length = answer[at + 8] << 8 | answer[at + 9];
    const uint8_t *data = answer + (at += 10);
    if (size < (at += length))
      return 0;
    if (type != query->qtype)
      continue;
    if (type == 1 && length == 4)
      return query->tag == BLOCKED ? !memcmp(data, null, 4) : data[0] == 198 && (data[1] & 0xfe) == 18;
    if (type == 28 && length == 16)
      return query->tag == BLOCKED ? !memcmp(data, null, 16) : !memcmp(data, "\x20\x01\x0d\xb8", 4);
    return query->tag != BLOCKED;
  }
  return query->tag == BLOCKED;
}

static void count_answer(struct tally *tally, uint64_t ns, int right) {
  tally->answers++;
  tally->wrong += !right;
  tally->histogram[bucket_of(ns)]++;
  if (tally->max_ns < ns)
    tally->max_ns = ns;
}

/* Takes one packet; returns whether a slot came free. */
static int take(struct source *source, const uint8_t *packet, int size, uint64_t at) {
  if (size < 12 || !(packet[2] & 0x80)) {
    strange++;
    return 0;
  }
  struct slot *slot = &source->slots[packet[1]];
  if (!slot->busy || slot->turn != packet[0]) {
    late++;
    return 0;
  }
  const struct query *query = &queries[slot->query];
  uint8_t asked[PACKET_MAX];
  memcpy(asked, pool + query->offset, query->size);
  if (query->tag == MISS)
    write_unique(asked, slot->unique);
  if (size < query->size || memcmp(packet + 12, asked + 12, query->size - 12u)) {
    strange++;
    return 0;
  }
  slot->busy = 0;
  source->free[source->free_count++] = packet[1];
  rcodes[packet[3] & 15]++;
  int right = !check || is_right(packet, size, query);
  if (!right && !tallies[TAGS].wrong)
    first_wrong = slot->query;
  count_answer(&tallies[query->tag], at - slot->sent_at, right);
  count_answer(&tallies[TAGS], at - slot->sent_at, right);
  return 1;
}

/* Takes what has come; returns how many slots came free. */
static int drain(struct source *source) {
  static uint8_t packets[BATCH][PACKET_MAX];
  static struct mmsghdr messages[BATCH];
  static struct iovec parts[BATCH];
  for (int freed = 0;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){packets[i], PACKET_MAX};
      messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(source->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0)
      return freed;
    uint64_t at = now();
    for (int i = 0; i < got; i++)
      freed += take(source, packets[i], (int)messages[i].msg_len, at);
    if (got < BATCH)
      return freed;
  }
}

/* ---- the load ---- */

static void ask(struct source *source, int count) {
  static uint8_t packets[BATCH][PACKET_MAX];
  static struct mmsghdr messages[BATCH];
  static struct iovec parts[BATCH];
  while (0 < count && 0 < source->free_count) {
    int n = 0;
    uint64_t at = now();
    for (; n < BATCH && n < count && 0 < source->free_count; n++) {
      uint16_t id = source->free[--source->free_count];
      struct slot *slot = &source->slots[id];
      const struct query *query = &queries[next_query];
      slot->query = next_query;
      slot->sent_at = at;
      slot->turn++;
      slot->busy = 1;
      memcpy(packets[n], pool + query->offset, query->size);
      packets[n][0] = slot->turn;
      packets[n][1] = (uint8_t)id;
      if (query->tag == MISS)
        write_unique(packets[n], slot->unique = (uint32_t)unique_count++);
      if (++next_query == query_count) {
        next_query = 0;
        passes_done++;
      }
      parts[n] = (struct iovec){packets[n], query->size};
      messages[n].msg_hdr = (struct msghdr){.msg_iov = &parts[n], .msg_iovlen = 1};
    }
    for (int done = 0; done < n;) {
      int out = sendmmsg(source->fd, messages + done, (unsigned)(n - done), 0);
      done += 0 < out ? out : 1; /* One that can not be sent will be lost. */
    }
    sent += (uint64_t)n;
    count -= n;
  }
  not_sent += (uint64_t)count; /* All slots wait for an answer: an open loop says how far it fell behind. */
}

/* Gives up the queries that wait too long; in the closed loop, others take their place. */
static void sweep(uint64_t at) {
  for (int s = 0; s < source_count; s++) {
    struct source *source = &sources[s];
    int freed = 0;
    for (int i = 0; i < SLOTS; i++) {
      struct slot *slot = &source->slots[i];
      if (slot->busy && timeout_ms * 1e6 < (double)at - (double)slot->sent_at) {
        slot->busy = 0;
        source->free[source->free_count++] = (uint16_t)i;
        lost++;
        freed++;
      }
    }
    if (rate <= 0 && freed)
      ask(source, freed);
  }
}

static void open_sources(int poll_fd, int port, int slots) {
  for (int s = 0; s < source_count; s++) {
    struct source *source = &sources[s];
    source->fd = socket(AF_INET, SOCK_DGRAM, 0);
    int room = 1 << 20;
    setsockopt(source->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f00000a + (uint32_t)s)};
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(source->fd, (struct sockaddr *)&here, sizeof here) ||
        connect(source->fd, (struct sockaddr *)&there, sizeof there)) {
      perror("socket");
      exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)s};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, source->fd, &event);
    while (source->free_count < slots) {
      source->free[source->free_count] = (uint16_t)(slots - 1 - source->free_count);
      source->free_count++;
    }
  }
}

static int wait_for(int poll_fd, struct epoll_event *events, uint64_t ns) {
  int n = 0;
  /* The closed loop spins a little before it sleeps: on a virtual machine, two cores that halt and wake each other are
   * slower than either. */
  if (rate <= 0)
    for (uint64_t until = now() + 50000; !(n = epoll_wait(poll_fd, events, SOURCES_MAX, 0)) && now() < until;)
      sched_yield();
  struct timespec pause = {(time_t)(ns / SECOND), (long)(ns % SECOND)};
  return n ? n : epoll_pwait2(poll_fd, events, SOURCES_MAX, &pause, NULL);
}

static void read_options(int argc, char **argv) {
  for (int i = 3; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (!value) {
      fprintf(stderr, "not key=value: %s\n", argv[i]);
      exit(2);
    }
    *value++ = 0;
    double number = atof(value);
    const char *key = argv[i];
    if (!strcmp(key, "seconds"))
      seconds = number;
    else if (!strcmp(key, "passes"))
      passes = (int)number;
    else if (!strcmp(key, "rate"))
      rate = number;
    else if (!strcmp(key, "window"))
      window = (int)number;
    else if (!strcmp(key, "sources"))
      source_count = (int)number;
    else if (!strcmp(key, "timeout"))
      timeout_ms = number;
    else if (!strcmp(key, "check"))
      check = (int)number;
    else if (!strcmp(key, "salt"))
      salt = (uint64_t)number;
    else {
      fprintf(stderr, "no such key: %s\n", key);
      exit(2);
    }
  }
  if (source_count < 1 || SOURCES_MAX < source_count) {
    fprintf(stderr, "sources must be 1 to %d\n", SOURCES_MAX);
    exit(2);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: loadgen PORT FILE [key=value ...]\n");
    return 2;
  }
  read_options(argc, argv);
  read_queries(argv[2]);
  if (window < source_count)
    source_count = window;
  int share = (window + source_count - 1) / source_count;
  int slots = 0 < rate || SLOTS < share ? SLOTS : share;
  signal(SIGTERM, on_signal);
  int poll_fd = epoll_create1(0);
  open_sources(poll_fd, atoi(argv[1]), slots);

  uint64_t begun = now(), end = begun + (uint64_t)(seconds * 1e9), next_sweep = begun + SWEEP;
  uint64_t asked = 0, heard_at = begun, silence = 0;
  struct epoll_event events[SOURCES_MAX];
  if (rate <= 0)
    for (int s = 0; s < source_count; s++)
      ask(&sources[s], slots);
  for (uint64_t at = begun; !ended && (passes ? passes_done < (uint64_t)passes : at < end); at = now()) {
    uint64_t pause = SWEEP;
    if (0 < rate) {
      for (uint64_t due = (uint64_t)((double)(at - begun) * rate / 1e9) + 1; asked < due; asked++)
        ask(&sources[asked % (uint64_t)source_count], 1);
      uint64_t next = begun + (uint64_t)((double)asked * 1e9 / rate);
      at = now();
      pause = at < next ? next - at : 0;
    }
    int n = wait_for(poll_fd, events, pause);
    for (int i = 0; i < n; i++) {
      struct source *source = &sources[events[i].data.u32];
      int freed = drain(source);
      if (!freed)
        continue;
      uint64_t heard = now();
      if (silence < heard - heard_at)
        silence = heard - heard_at;
      heard_at = heard;
      if (rate <= 0)
        ask(source, freed);
    }
    if (next_sweep <= (at = now())) {
      sweep(at);
      next_sweep = at + SWEEP;
    }
  }
  uint64_t over = now(), in_time = tallies[TAGS].answers;
  if (silence < over - heard_at)
    silence = over - heard_at;
  /* What is still under way may arrive within the timeout. */
  for (uint64_t waiting = 1, at = over; waiting; at = now()) {
    waiting = 0;
    for (int s = 0; s < source_count; s++)
      waiting += (uint64_t)(slots - sources[s].free_count);
    if (waiting && timeout_ms * 1e6 < (double)(at - over)) {
      lost += waiting;
      break;
    }
    int n = waiting ? epoll_wait(poll_fd, events, SOURCES_MAX, 20) : 0;
    for (int i = 0; i < n; i++)
      drain(&sources[events[i].data.u32]);
  }

  double took = (double)(over - begun) / 1e9;
  printf("{\"seconds\":%.3f,\"qps\":%.0f,\"silence_ms\":%.2f", took, (double)in_time / took, (double)silence / 1e6);
  const struct { const char *key; uint64_t value; } counts[] = {
      {"sent", sent}, {"answers", tallies[TAGS].answers}, {"lost", lost}, {"late", late}, {"not_sent", not_sent},
      {"strange", strange}, {"truncated", truncated}, {"wrong", tallies[TAGS].wrong}, {"servfail", rcodes[2]},
      {"refused", rcodes[5]},
  };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    printf(",\"%s\":%llu", counts[i].key, (unsigned long long)counts[i].value);
  for (int t = 0; t <= TAGS; t++) {
    const struct tally *tally = &tallies[t];
    if (tally->answers)
      printf(",\"%s\":{\"n\":%llu,\"wrong\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}",
             TAG_NAMES[t], (unsigned long long)tally->answers, (unsigned long long)tally->wrong,
             percentile_us(tally, .5), percentile_us(tally, .99), percentile_us(tally, .999),
             (double)tally->max_ns / 1000);
  }
  if (tallies[TAGS].wrong) {
    const uint8_t *label = pool + queries[first_wrong].offset + 12;
    printf(",\"first_wrong\":\"");
    for (; *label; label += *label + 1)
      printf("%.*s.", *label, (const char *)label + 1);
    printf(" %d\"", queries[first_wrong].qtype);
  }
  printf("}\n");
  return 0;
}
