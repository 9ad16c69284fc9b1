# What `hugeprobe check --peer` costs a vswitch that forwards: the share of the frames between two other ports that an Open
# vSwitch keeps while check connects to a third port again and again, compared with the share that it keeps while ports are
# added and deleted as often. benches/run sources this file. The vswitch's files are in $tmp/ovs.

vswitchd=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
turns=10                                  # pairs of windows for each of the two
seconds=5                                 # the length of a window
times=10                                  # probes, or ports added and deleted, in a window
ovs=$tmp/ovs

vsctl() { ovs-vsctl --db="unix:$ovs/db.sock" --timeout=20 "$@"; }
daemon() { # PROGRAM NAME ARGUMENT...
  OVS_RUNDIR=$ovs OVS_LOGDIR=$ovs OVS_DBDIR=$ovs OVS_SYSCONFDIR=$ovs "$1" "${@:3}" --unixctl="$ovs/$2.ctl" \
    --pidfile="$ovs/$2.pid" >"$ovs/$2.out" 2>&1 7>&- 8>&- 9>&- &
  running[$!]=1
}
await() { # COMMAND...: until it succeeds
  local i
  for ((i = 0; i < 600; i++)); do ! "$@" >/dev/null 2>&1 || return 0; nap 0.05; done
  tail -n 5 "$ovs/vswitchd.out" >&2
  die "$*: not within 30 seconds"
}
# Without a limit, the vswitch takes the pages that the probes need for its buffers. It polls the second CPU. Both testpmds are on the first: one sends all the time, the other receives.
start_vswitch() {
  local port client=type=dpdkvhostuserclient
  mkdir "$ovs"
  ovsdb-tool create "$ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  daemon ovsdb-server ovsdb "$ovs/conf.db" --remote="punix:$ovs/db.sock"
  await test -S "$ovs/db.sock"
  vsctl --no-wait init
  vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-socket-mem=64 other_config:dpdk-socket-limit=80 \
    other_config:dpdk-lcore-mask=0x1 other_config:pmd-cpu-mask=0x2 \
    other_config:dpdk-extra="--no-pci --file-prefix=$name-o"
  daemon "$vswitchd" vswitchd "unix:$ovs/db.sock"; v=$!
  vsctl add-br br0 -- set bridge br0 datapath_type=netdev
  for port in from to; do
    vsctl add-port br0 $port -- set Interface $port $client options:vhost-server-path="$ovs/$port"
  done
  vsctl add-port br0 probe -- set Interface probe type=dpdkvhostuser
  await test -S "$ovs/probe"
  ofctl del-flows
  ofctl add-flow in_port=from,actions=output:to
  ofctl add-flow in_port=probe,actions=drop
  end_of from txonly
  end_of to rxonly
  await passes 1000
}
end_of() { # PORT MODE
  dpdk-testpmd --lcores='0@0,1@0' --no-pci -m 16 --in-memory --single-file-segments --file-prefix="$name-$1" \
    --vdev "net_virtio_user0,path=$ovs/$1,server=1" -- --total-num-mbufs=1025 --forward-mode="$2" --auto-start --stats-period=1000 \
    </dev/null >"$tmp/$1.log" 2>&1 7>&- 8>&- 9>&- &
  running[$!]=1
}
ofctl() { ovs-ofctl "$1" "unix:$ovs/br0.mgmt" "${@:2}"; }
# delivered: the frames that the vswitch has sent to the receiving port
delivered() { ofctl dump-ports to | sed -nE 's/.*tx pkts=([0-9]+),.*/\1/p'; }
passes() { [ "$(delivered)" -gt "$1" ]; }
probe() { "$hugeprobe" check --size 2Mi --peer "$ovs/probe" --only HP612 --only HP613 --only HP614 -o short; }
port() { vsctl add-port br0 other -- set Interface other type=dpdkvhostuser && vsctl del-port other; }
# repeat ACTION: does it $times times in a window, the first after half a pause. Writes the microseconds of each.
repeat() {
  local begin left i pause=$((seconds * 1000000 / times))
  nap "$(awk "BEGIN {print $pause / 2e6}")"
  for ((i = 0; i < times; i++)); do
    begin=$(now)
    "$1" >"$tmp/action" 2>&1 || die "$1 failed beside the vswitch: $(cat "$tmp/action")"
    left=$(($(now) - begin))
    echo $left >>"$tmp/$1-took"
    left=$((pause - left))
    [ $left -le 0 ] || nap "$((left / 1000000)).$(printf %06d $((left % 1000000)))"
  done
}
# forwarded [ACTION]: prints the frames per second that leave the vswitch in a window
forwarded() {
  local first last begin end r=
  first=$(delivered); begin=$(now)
  if [ -n "${1-}" ]; then repeat "$1" & r=$!; running[$r]=1; fi
  nap $seconds
  last=$(delivered); end=$(now)
  if [ -n "$r" ]; then wait $r || exit 2; unset "running[$r]"; fi
  awk "BEGIN {printf \"%.0f\n\", ($last - $first) / ($end - $begin) * 1e6}" >"$tmp/rate"
}
# beside ACTION: windows with and without it in the order ABBA. Writes the ratios in percent, one per line.
beside() {
  local i turn alone with
  for ((i = 0; i < turns; i++)); do
    for turn in $((i % 2)) $((1 - i % 2)); do
      if [ "$turn" = 0 ]; then forwarded; alone=$(<"$tmp/rate"); else forwarded "$1"; with=$(<"$tmp/rate"); fi
    done
    echo "$alone $with" >>"$tmp/$1-rates"
  done
  awk '{printf "%.3f\n", 100 * $2 / $1}' "$tmp/$1-rates" >"$tmp/$1-ratios"
}
links() { vsctl get Interface from link_state link_resets -- get Interface to link_state link_resets; }
vswitch() {
  local before after answer noise share low high its low_its high_its took its_took
  start_vswitch
  nap 1
  before=$(links)
  beside probe
  after=$(links)
  [ "$before" = "$after" ] || die "the links of the other ports changed from $before to $after"
  ofctl dump-flows in_port=probe | grep -q 'n_packets=0,' || die "frames came from the probe: $(ofctl dump-flows in_port=probe)"
  beside port
  read -r share low high < <(spread <"$tmp/probe-ratios")
  read -r its low_its high_its < <(spread <"$tmp/port-ratios")
  took=$(awk '{print $1 / 1000}' "$tmp/probe-took" | median)
  its_took=$(awk '{print $1 / 1000}' "$tmp/port-took" | median)
  answer=$(met "$share / $its >= 0.99")
  noise=$(cut -d' ' -f1 "$tmp/probe-rates" "$tmp/port-rates" | sort -n | awk '
    {v[NR] = $1}
    END {low = int(NR / 4) + 1; high = NR - int(NR / 4); printf "%.1f\n", 100 * (v[high] - v[low]) / v[int((NR + 1) / 2)]}')
  # A loss can be told from noise only if the noise is low.
  [ "${noise%.*}" -lt 3 ] || answer="CANNOT TELL: without probes the rate varies by $noise %, something else runs here"
  row "frames kept by Open vSwitch" "$(printf '%.1f %% (%.1f to %.1f)' "$share" "$low" "$high")" \
    "$(printf 'ports: %.1f %% (%.1f to %.1f)' "$its" "$low_its" "$high_its")" \
    "$(awk "BEGIN {printf \"%.3f\", $share / $its}")" ">= 0.99" "$answer"
  row "" "$((turns * times)) probes of ${took%.*} ms" "$((turns * times)) ports of ${its_took%.*} ms" "" "" ""
  stop "$v" TERM
}
