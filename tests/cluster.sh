#!/usr/bin/env bash
# A real SLURM on this machine, to be thrown away: two nodes, each with a host name of its own, and two partitions,
# of which `urgent` preempts `debug`. As root, without systemd and without cgroups. Needs slurm-wlm and munge; with
# ACCOUNTING=1 also slurmdbd and mariadb-server.
#
#   tests/cluster.sh start FOLDER     every file of it lies in FOLDER, which has to be its own
#   tests/cluster.sh node FOLDER n1   start the daemon of a node (again)
#   tests/cluster.sh stop FOLDER      end what was started, by process id
#
# SLURM_CONF=FOLDER/slurm.conf tells SLURM's commands where to look.
set -euo pipefail

verb=${1:?start, node or stop} folder=${2:?a folder} nodes=(n1 n2)
export SLURM_CONF=$folder/slurm.conf

keep() { # start a daemon and keep its process id under a name
    local name=$1
    shift
    "$@" >"$folder/log/$name.out" 2>&1 &
    echo $! >"$folder/pid/$name"
}

until_it() { # wait until a command succeeds
    local began=$SECONDS
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - began < 60)) || { echo "in vain: $*" >&2; exit 1; }
        sleep 0.2
    done
}

configure() {
    local cpus accounting=none node
    cpus=$(nproc)
    [[ -z ${ACCOUNTING:-} ]] || accounting=slurmdbd
    cat >"$SLURM_CONF" <<END
ClusterName=local
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=26817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/pid/controller
SlurmdPidFile=$folder/pid/%n
SlurmctldLogFile=$folder/log/controller
SlurmdLogFile=$folder/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=60
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/$accounting
AccountingStorageHost=127.0.0.1
AccountingStoragePort=26819
AccountingStoragePass=$folder/munge/socket
END
    for node in "${!nodes[@]}"; do
        echo "NodeName=${nodes[node]} NodeAddr=127.0.0.1 Port=$((27001 + node)) CPUs=$cpus RealMemory=16000"
    done >>"$SLURM_CONF"
    cat >>"$SLURM_CONF" <<END
PartitionName=debug Nodes=ALL Default=YES DefaultTime=10 MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent Nodes=ALL DefaultTime=10 MaxTime=60 PriorityTier=2 PreemptMode=OFF
END
}

accounting() {
    mkdir -p "$folder/database"
    chown mysql:mysql "$folder/database"
    mariadb-install-db --no-defaults --user=mysql --datadir="$folder/database" >"$folder/log/install" 2>&1
    local socket=$folder/database/socket
    keep database mariadbd --no-defaults --user=mysql --datadir="$folder/database" --socket="$socket" \
        --bind-address=127.0.0.1 --port=26806
    until_it mariadb-admin --no-defaults -uroot --socket="$socket" ping
    mariadb --no-defaults -uroot --socket="$socket" -e "create database accounting;
        create user slurm@'127.0.0.1' identified by 'slurm'; grant all on accounting.* to slurm@'127.0.0.1';
        create user slurm@localhost identified by 'slurm'; grant all on accounting.* to slurm@localhost;"
    cat >"$folder/slurmdbd.conf" <<END
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=26819
SlurmUser=root
LogFile=$folder/log/accounting
PidFile=$folder/pid/accounting
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=26806
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
END
    chmod 600 "$folder/slurmdbd.conf"
    keep accounting slurmdbd -D
    until_it sacctmgr --noheader show cluster
    sacctmgr --immediate add cluster local >/dev/null
    sacctmgr --immediate add account default >/dev/null
    sacctmgr --immediate add user root account=default >/dev/null
}

node() { # a network name of its own lets two nodes be two hosts
    keep "$1" unshare --uts sh -c "hostname $1 && exec slurmd -D -N $1"
}

case $verb in
start)
    mkdir -p "$folder"/{log,pid,state,munge,spool/n1,spool/n2}
    chmod 755 "$folder" "$folder/munge"
    head -c 128 /dev/urandom >"$folder/munge/key"
    chmod 400 "$folder/munge/key"
    chown -R munge:munge "$folder/munge"
    configure
    keep munge setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --key-file="$folder/munge/key" \
        --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed"
    until_it munge -S "$folder/munge/socket" -n
    [[ -z ${ACCOUNTING:-} ]] || accounting
    keep controller slurmctld -D -i
    until_it sh -c "scontrol ping | grep -q UP"
    for name in "${nodes[@]}"; do node "$name"; done
    until_it sh -c "[ \$(sinfo --noheader --Node --states=idle --partition=debug | wc -l) = 2 ]"
    ;;
node) node "${3:?n1 or n2}" ;;
stop)
    scancel --user="$(id -un)" || true
    sleep 1
    for name in n2 n1 controller accounting database munge; do
        [[ -f $folder/pid/$name ]] || continue
        pid=$(cat "$folder/pid/$name")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
    done
    ;;
*) echo "start, node or stop, not $verb" >&2; exit 2 ;;
esac
