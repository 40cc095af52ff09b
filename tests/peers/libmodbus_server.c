/* libmodbus as a Modbus RTU server of the reference dispenser on a pseudo terminal; prints the terminal's name. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static void put(uint16_t *at, uint64_t value, int count)
{
    for (int word = count - 1; word >= 0; word--, value >>= 16)
        at[word] = (uint16_t)value;
}

static void written(uint16_t *r, int address)
{
    if (address == 100)
        r[1] = r[100] == 1 ? 5 : r[100] == 2 ? 3 : r[1];
    else if (address == 101)
        memcpy(r + 10, r + 101, 4);
    else if (address == 103)
        memcpy(r + 4, r + 103, 4);
    else if (address == 105 && r[106] == 7)
        memset(r + 20, 0, 20);
}

int main(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    struct termios raw;
    modbus_t *bus = modbus_new_rtu("/dev/null", 9600, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 107, 0);

    if (master < 0 || grantpt(master) || unlockpt(master) || !bus || !map)
        return 1;
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);

    uint16_t *r = map->tab_registers;
    r[0] = 1, r[1] = 4, r[2] = 1, r[26] = 1;
    put(r + 4, 7850, 2), put(r + 6, 12340, 2), put(r + 8, 9687, 2);
    put(r + 12, 123456789012ULL, 4), put(r + 16, 98765432101ULL, 4);
    put(r + 20, 7, 2), put(r + 22, 12340, 2), put(r + 24, 9687, 2), put(r + 28, 7850, 2);

    modbus_set_slave(bus, 1);
    modbus_set_socket(bus, master);
    puts(ptsname(master));
    fflush(stdout);
    for (;;) {
        int length = modbus_receive(bus, query);
        if (length <= 0)
            continue;
        modbus_reply(bus, query, length, map);
        if (query[1] == 6 || query[1] == 16)
            written(r, query[2] << 8 | query[3]);
    }
}
