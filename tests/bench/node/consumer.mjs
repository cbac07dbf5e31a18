// sqs-consumer with a batch handler that does nothing: `node consumer.mjs URL MESSAGES` prints JSON.
import { SQSClient } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';

const [url, wanted] = [process.argv[2], Number(process.argv[3])];
const sqs = new SQSClient({ region: 'us-east-1', endpoint: url, credentials: { accessKeyId: 'x', secretAccessKey: 'x' } });
const LOOPS = 4;
let messages = 0;
let before;
const consumers = [];

function consumer() {
  return Consumer.create({
    queueUrl: `${url}/000000000000/bench`,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 1,
    attributeNames: ['All'],
    messageAttributeNames: ['All'],
    alwaysAcknowledge: true,
    handleMessageBatch: async (batch) => {
      before ??= process.cpuUsage();
      messages += batch.length;
      if (messages >= wanted) {
        const used = process.cpuUsage(before);
        console.log(JSON.stringify({ done: messages, cpu: (used.user + used.system) / 1e6 }));
        process.exit(0);
      }
    },
  });
}

for (let i = 0; i < LOOPS; i += 1) {
  const one = consumer();
  one.on('error', (error) => { console.error(error.message); process.exit(1); });
  consumers.push(one);
  one.start();
}
