import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Sends a body of args[1] bytes and prints the status, with both clients of the JDK. */
public class Client {
    public static void main(String[] args) throws Exception {
        byte[] body = " ".repeat(Integer.parseInt(args[1])).getBytes();
        HttpURLConnection old = (HttpURLConnection) URI.create(args[0]).toURL().openConnection();
        old.setRequestMethod("POST");
        old.setDoOutput(true);
        old.setFixedLengthStreamingMode(body.length);
        old.setRequestProperty("Content-Type", "application/json");
        old.getOutputStream().write(body);
        System.out.println(old.getResponseCode());
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).version(HttpClient.Version.HTTP_1_1)
            .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
