// The network of scripts/cluster_test.sh: a switch between network namespaces, with a latency. Kernels of small virtual
// machines lack netem, and TAP devices are enough.
//
//     switch PID...      a process in the namespace of host 1, of host 2, ...
//
// Every host gets eth0, whose MAC address ends in the number of the host; packets of 64 KB travel whole, as with a network
// card that segments them. Commands are lines on standard input, at whose end the switch ends:
//
//     latency US         of every packet from now on, one way
//     off N, on N        the cable of host N is pulled, and plugged in
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { HOSTS = 16, WAITING = 1 << 14, LONGEST = 1 << 17, HEADER = sizeof(struct virtio_net_hdr) };

struct packet {
  uint64_t due;
  int from;
  int length;
  unsigned char *bytes;
};

static int hosts, taps[HOSTS];
static bool is_off[HOSTS];
static uint64_t latency;
// All packets on their way. One that comes later is never due earlier.
static struct packet queue[WAITING];
static unsigned first, last;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int open_tap(const char *process, int number) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", process);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET)) err(1, "%s", path);
  close(namespace);
  int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap < 0) err(1, "/dev/net/tun");
  struct ifreq device = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (ioctl(tap, TUNSETIFF, &device)) err(1, "TUNSETIFF");
  if (ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) err(1, "TUNSETOFFLOAD");
  device.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(device.ifr_hwaddr.sa_data, (char[]){2, 0, 0, 0, 0, (char)number}, 6);
  if (ioctl(tap, SIOCSIFHWADDR, &device)) err(1, "SIOCSIFHWADDR");
  return tap;
}

static void obey(char *line) {
  unsigned long long number;
  char word[16];
  if (sscanf(line, "%15s %llu", word, &number) != 2) errx(1, "no command: %s", line);
  if (!strcmp(word, "latency"))
    latency = number * 1000;
  else if (number >= 1 && number <= (unsigned long long)hosts)
    is_off[number - 1] = !strcmp(word, "off");
}

// False at the end of standard input.
static bool read_commands(void) {
  char text[256];
  ssize_t length = read(0, text, sizeof text - 1);
  if (length <= 0) return false;
  text[length] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) obey(line);
  return true;
}

static void deliver(const struct packet *packet) {
  const unsigned char *to = packet->bytes + HEADER;
  for (int host = 0; host < hosts; host++) {
    bool is_for = to[0] & 1 || to[5] == host + 1;
    if (host == packet->from || !is_for || is_off[host] || is_off[packet->from]) continue;
    // A device that is down or full loses it, as a real one does.
    if (write(taps[host], packet->bytes, packet->length) < 0) continue;
  }
}

static void receive(int host) {
  static unsigned char bytes[LONGEST];
  for (int most = 64; most; most--) {
    ssize_t length = read(taps[host], bytes, sizeof bytes);
    if (length < HEADER + 14) return;
    if (is_off[host] || last - first == WAITING) continue;
    struct packet *packet = &queue[last % WAITING];
    uint64_t due = now() + latency;
    if (last != first && queue[(last - 1) % WAITING].due > due) due = queue[(last - 1) % WAITING].due;
    *packet = (struct packet){due, host, length, malloc(length)};
    if (!packet->bytes) err(1, "malloc");
    memcpy(packet->bytes, bytes, length);
    last++;
  }
}

int main(int count, char **arguments) {
  if (count < 2 || count > HOSTS + 1) errx(2, "usage: switch PID...");
  for (; hosts < count - 1; hosts++) taps[hosts] = open_tap(arguments[hosts + 1], hosts + 1);
  // Its hosts' processes keep the cores busy; it has to be on time all the same.
  struct sched_param soon = {.sched_priority = 1};
  sched_setscheduler(0, SCHED_FIFO, &soon);
  prctl(PR_SET_TIMERSLACK, 1);
  struct pollfd ready[HOSTS + 1];
  for (;;) {
    for (; first != last && queue[first % WAITING].due <= now(); first++) {
      deliver(&queue[first % WAITING]);
      free(queue[first % WAITING].bytes);
    }
    uint64_t time = now(), due = first != last ? queue[first % WAITING].due : time + 1000000000;
    uint64_t pause = due > time ? due - time : 0;
    for (int host = 0; host < hosts; host++) ready[host] = (struct pollfd){taps[host], POLLIN, 0};
    ready[hosts] = (struct pollfd){0, POLLIN, 0};
    if (ppoll(ready, hosts + 1, &(struct timespec){pause / 1000000000, pause % 1000000000}, NULL) <= 0) continue;
    if (ready[hosts].revents && !read_commands()) return 0;
    for (int host = 0; host < hosts; host++)
      if (ready[host].revents) receive(host);
  }
}
