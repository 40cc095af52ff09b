#!/usr/bin/env bash
# Puts the station's software on a machine, replaces it by another version and goes back, without a network.
# Knows the folders of an installed station and systemd. Touches neither configuration nor secrets; keeps every database.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

usage() {
    cat <<'END'
install.sh                      installs this archive, or upgrades what is installed and goes back by itself if it fails
install.sh --rollback           goes back to the version before; --with-old-database: also to the database of that time
install.sh --uninstall          removes the software; keeps configuration, database and user
  --destdir DIR --prefix DIR    for packagers: below DIR, no service is touched; default prefix /opt/forecourt
END
}

say() { echo "install.sh: $*"; }
refuse() {
    echo "install.sh: $1" >&2
    [ -z "${2:-}" ] || echo "  $2" >&2
    exit 1
}

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
action=install destdir="" prefix=/opt/forecourt old_database=no
while [ $# -gt 0 ]; do
    case $1 in
        --upgrade) action=upgrade ;;
        --rollback) action=rollback ;;
        --uninstall) action=uninstall ;;
        --with-old-database) old_database=yes ;;
        --destdir) destdir=${2?--destdir wants a folder} && shift ;;
        --prefix) prefix=${2:?--prefix wants a folder} && shift ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
case $prefix in /*[!/]) ;; *) refuse "--prefix $prefix is not an absolute path" ;; esac

releases=$destdir$prefix/releases
config=/etc/forecourt/station.toml
state=/var/lib/forecourt
wait_s=${FORECOURT_UPGRADE_WAIT_S:-60}
keep_releases=3

# --- what the machine is -----------------------------------------------------------------------------------------------

live() { [ -z "$destdir" ]; }
release_of() { basename "$(readlink "$destdir$prefix/$1" 2>/dev/null || echo none)"; }
is_active() { live && systemctl is-active --quiet forecourt; }

need_root() {
    live || return 0
    [ "$(id -u)" = 0 ] || refuse "this must run as root" "sudo $0"
    [ -d /run/systemd/system ] || refuse "this machine does not run systemd" "use --destdir to prepare files for another one"
}

pip_wheel() {
    local bundled
    bundled=$(python3 -c 'import ensurepip; print(ensurepip.__path__[0] + "/_bundled")')
    find /usr/share/python-wheels "$bundled" -name 'pip-*.whl' -print -quit 2>/dev/null || true
}

# Says in one line what is missing, or installs it where apt has a network.
need_python() {
    local python
    usable() { python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && [ -n "$(pip_wheel)" ]; }
    usable || { live && command -v apt-get >/dev/null && say "installing python3 and python3-venv" &&
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3 python3-venv >/dev/null 2>&1; } || true
    usable || refuse "missing: python3 (3.11 or newer) and python3-venv" "apt-get install python3 python3-venv"
    python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    grep -qx "$python" "$here/PYTHONS" ||
        refuse "this archive is for Python $(paste -sd' ' "$here/PYTHONS"), this machine has $python" "take the archive made for it"
}

# --- one release, complete or not there ------------------------------------------------------------------------------

# A folder of its own with the virtual environment; nothing of it is used before `switch_to`.
build_release() {
    local number=1 target python
    (cd "$here" && sha256sum --quiet --check SHA256SUMS) || refuse "the archive is damaged" "copy and unpack it again"
    while [ -e "$releases/$version-$number" ]; do number=$((number + 1)); done
    release=$version-$number target=$releases/$release python=$releases/$release/bin/python
    mkdir -p "$releases"
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -rf '$target'" EXIT
    say "preparing $release"
    # pip runs from the wheel that venv would install: nothing that could install anything else stays on the station.
    python3 -m venv --without-pip "$target"
    PYTHONPATH=$(pip_wheel) "$python" -m pip --disable-pip-version-check --no-input --isolated install --quiet \
        --no-compile --no-index --find-links "$here/wheels" --require-hashes --requirement "$here/requirements.txt"
    mkdir -p "$target/share"
    cp -R "$here/systemd" "$here/config" "$here/docs" "$here/LICENSE" "$here/install.sh" "$target/share/"
    # Below DESTDIR the scripts would name the folder of the build.
    if [ -n "$destdir" ]; then
        grep -rlIF "$destdir$prefix" "$target/bin" "$target/pyvenv.cfg" | xargs -r sed -i "s|$destdir$prefix|$prefix|g"
    fi
    "$python" -m compileall -q -s "$destdir" -p / "$target/lib" || refuse "the modules cannot be compiled" "is the disk full?"
    chmod -R go=rX "$target"
    touch "$target/complete"
    trap - EXIT
}

# Units and rules as the release wants them, so that going back brings the old ones back.
link_files() {
    local share=$releases/$1/share/systemd
    put() { install -D -m 0644 "$share/$1" "$destdir$2" && sed -i "s|/opt/forecourt|$prefix|g" "$destdir$2"; }
    put_once() { [ -e "$destdir$2" ] || put "$1" "$2"; }
    put forecourt.service /usr/lib/systemd/system/forecourt.service
    put sysusers.conf /usr/lib/sysusers.d/forecourt.conf
    put tmpfiles.conf /usr/lib/tmpfiles.d/forecourt.conf
    put 70-forecourt.rules /usr/lib/udev/rules.d/70-forecourt.rules
    put polkit-pcsc.rules.js /usr/share/polkit-1/rules.d/70-forecourt-pcsc.rules
    put_once 71-forecourt-names.rules /etc/udev/rules.d/71-forecourt-names.rules
    put_once 10-addresses.conf /etc/systemd/system/forecourt.service.d/10-addresses.conf
    mkdir -p "$destdir/usr/bin"
    ln -sfn "$prefix/current/bin/forecourt" "$destdir/usr/bin/forecourt"
    ln -sfn "$prefix/current/bin/forecourt-hq" "$destdir/usr/bin/forecourt-hq"
    install -D -m 0644 "$share/../config/station.example.toml" "$destdir/etc/forecourt/station.example.toml"
    live || return 0
    systemd-sysusers /usr/lib/sysusers.d/forecourt.conf
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/forecourt.conf
    systemctl daemon-reload
    if command -v udevadm >/dev/null; then
        udevadm control --reload 2>/dev/null && udevadm trigger --subsystem-match=tty || true # no udevd in a container
    fi
}

point() { ln -sfn "releases/$2" "$destdir$prefix/.$1.new" && mv -T "$destdir$prefix/.$1.new" "$destdir$prefix/$1"; }

# One stroke: the link. What ran before is `previous`.
switch_to() {
    local was
    was=$(release_of current)
    point current "$1"
    [ "$was" = none ] || [ "$was" = "$1" ] || point previous "$was"
    link_files "$1"
    sync -f "$destdir$prefix"
}

prune() {
    local name kept=0
    for name in $(find "$releases" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' | sort -rn | cut -d' ' -f2); do
        [ -e "$releases/$name/complete" ] && kept=$((kept + 1))
        [ "$name" = "$(release_of current)" ] || [ "$name" = "$(release_of previous)" ] && continue
        if [ ! -e "$releases/$name/complete" ] || [ $kept -gt $keep_releases ]; then
            rm -rf "${releases:?}/$name"
            ! live || rm -rf "$state/before-upgrade-$name"
        fi
    done
}

# --- the station's own data --------------------------------------------------------------------------------------------

as_station() { (umask 077 && exec setpriv --reuid=forecourt --regid=forecourt --clear-groups --no-new-privs -- "$@"); }
aside() { as_station "$releases/$1/bin/python" -m agent.store.aside "$2" "$config" "$state/before-upgrade-$3"; }
field() { sed -E "s/.*\"$1\": \"?([^\",}]*).*/\1/"; }

answers_as() {
    local told
    is_active || return 1
    told=$("$prefix/current/bin/forecourt" status --json --config "$config" 2>/dev/null) || return 1
    [ "$(grep -m1 '"version"' <<<"$told" | field version)" = "${1%-*}" ]
}

# Stops the service; whatever happens from here on, a service that ran is started again at the end.
pause() {
    ! is_active || was_active=yes
    systemctl stop forecourt
    [ $was_active = no ] || trap 'systemctl start --no-block forecourt' EXIT
}

# Started means READY and answering with the right version; a third start is no start.
started() {
    local deadline=$((SECONDS + wait_s))
    systemctl reset-failed forecourt 2>/dev/null || true
    systemctl start --no-block forecourt
    until answers_as "$1"; do
        [ $SECONDS -lt $deadline ] || return 1
        [ "$(systemctl show --property NRestarts --value forecourt)" -lt 2 ] || return 1
        sleep 0.5
    done
}

why_not() { journalctl _SYSTEMD_UNIT=forecourt.service --no-pager --output cat --lines 5 2>/dev/null | cut -c1-200 | sed 's/^/  /' >&2; }

# Back from $1 to $2 while nothing runs. Refuses where that would lose records of money; says so by 1.
go_back() {
    local change
    change=$(aside "$1" change "$1") || return 1
    if [ "$(field schema <<<"$change")" = true ]; then
        if [ "$(field records <<<"$change")" != 0 ] && [ "$old_database" = no ]; then
            echo "install.sh: $2 cannot read the database of $1, and going back to its copy would leave out" \
                "$(field records <<<"$change") records written since" >&2
            return 1
        fi
        change=$(aside "$1" put-back "$1") || return 1
        say "the database of before the upgrade is put back; the newer one stays in $(field replaced <<<"$change")"
    fi
    switch_to "$2" || return 1
}

# --- what people ask for -----------------------------------------------------------------------------------------------

first_installation() {
    build_release
    switch_to "$release"
    say "installed $release"
    if live; then
        say "next: write $config (example beside it), forecourt check-config $config, systemctl enable --now forecourt"
    fi
}

upgrade() {
    local old=$1 was_active=no
    build_release
    if ! live; then switch_to "$release" && prune && say "installed $release" && return; fi
    if [ -e "$config" ] && ! as_station "$releases/$release/bin/forecourt" check-config "$config"; then
        rm -rf "${releases:?}/$release"
        refuse "the configuration does not fit version $version; nothing was changed, $old goes on" "forecourt check-config $config"
    fi
    pause
    if [ -e "$config" ] && ! aside "$release" put-aside "$release" >/dev/null; then
        rm -rf "${releases:?}/$release" "$state/before-upgrade-$release"
        refuse "the database could not be copied; $old goes on"
    fi
    switch_to "$release"
    if [ $was_active = no ]; then prune && say "installed $release; the service was not running and was not started" && return; fi
    if started "$release"; then prune && say "upgraded from $old to $release" && return; fi
    say "$release does not run; its last words:"
    why_not
    systemctl stop forecourt
    if ! go_back "$release" "$old"; then
        refuse "$release stays and is started again and again" "look: journalctl -u forecourt; going back by force: $0 --rollback --with-old-database"
    fi
    started "$old" || { why_not && refuse "went back to $old, which does not run either" "look: journalctl -u forecourt"; }
    refuse "went back to $old, which runs; $release is kept for a look in $releases/$release"
}

rollback() {
    local new old was_active=no
    new=$(release_of current) old=$(release_of previous)
    [ "$old" != none ] && [ -e "$releases/$old/complete" ] || refuse "there is no version to go back to"
    if ! live; then switch_to "$old" && say "went back to $old" && return; fi
    pause
    if ! go_back "$new" "$old"; then
        refuse "nothing was changed, $new goes on" "to leave those records out all the same: --rollback --with-old-database"
    fi
    if [ $was_active = yes ] && ! started "$old"; then
        why_not
        refuse "went back to $old, which does not run" "look: journalctl -u forecourt"
    fi
    say "went back from $new to $old"
}

uninstall() {
    if live; then systemctl disable --now forecourt 2>/dev/null || true; fi
    rm -f "$destdir"/usr/bin/forecourt{,-hq} "$destdir/usr/lib/systemd/system/forecourt.service" \
        "$destdir/usr/lib/sysusers.d/forecourt.conf" "$destdir/usr/lib/tmpfiles.d/forecourt.conf" \
        "$destdir/usr/lib/udev/rules.d/70-forecourt.rules" "$destdir/usr/share/polkit-1/rules.d/70-forecourt-pcsc.rules"
    rm -rf "$destdir${prefix:?}"
    ! live || systemctl daemon-reload
    say "removed; kept: /etc/forecourt, $state, $state-mark, the user forecourt"
}

main() {
    local old
    need_root
    mkdir -p "$destdir$prefix"
    exec 9>"$destdir$prefix/.lock"
    flock --nonblock 9 || refuse "another install.sh is at work"
    old=$(release_of current)
    case $action in
        uninstall) uninstall ;;
        rollback) rollback ;;
        *)
            [ -e "$here/wheels" ] || refuse "this is the copy for --rollback and --uninstall" "run install.sh of an unpacked archive"
            [ "$action" != upgrade ] || [ "$old" != none ] || refuse "nothing is installed yet" "run install.sh without --upgrade"
            version=$(cat "$here/VERSION")
            need_python
            if [ "$old" = none ]; then first_installation; else upgrade "$old"; fi
            ;;
    esac
}

main
